"""The words of a report that a reader may not know, explained where they stand and listed at its end."""

from __future__ import annotations

import re
from collections.abc import Mapping

from markupsafe import Markup, escape

from trainmap.errors import printable

TERMS: Mapping[str, str] = {
    "student": "The network that is trained on each choice of examples: what the comparison is about.",
    "teacher": "A network that was trained before on all the data. Its training was recorded to make the map, and a "
    "student may be taught by it.",
    "map": "For every training example, how a network learnt it: how sure it was of the right answer on the whole "
    "(confidence) and how much it wavered (variability).",
    "distillation": "Teaching a student not by the labels alone but by what a teacher predicts as well.",
    "random of the same size": "As many examples, picked by lot. Whatever is chosen must do better than this to be "
    "worth anything.",
    "at random": "By lot: every example has the same chance. Whatever is chosen must do better than this to be worth "
    "anything.",
    "full data": "Training on all the examples.",
    "equal epochs": "Every row goes through its examples as often as the others: a third of the data takes a third of "
    "the training.",
    "equal steps": "Every row is trained for as many steps as all the data take: less data, seen more often, at the "
    "same "
    "cost.",
    "macro F1": "A score from 0 to 100 %: for each class, how many of its examples are found and how many of the finds "
    "are right, in one number; then the mean over the classes, rare ones counting as much as others.",
    "points": "The difference of two scores in percent: from 90 % to 92 % are 2 points.",
    "seed": "The number that a run's random choices start from: first weights, order, random subsets. Several seeds "
    "show "
    "how much is luck.",
    "interval": "Where the true mean lies, with 95 % confidence unless said otherwise (Student's t). An interval "
    "around zero shows no difference.",
    "Holm": "Of many comparisons some look like a difference by chance alone. Holm's correction asks more of each, so "
    "that not even one verdict of a table is wrong, with 95 % confidence unless said otherwise.",
    "correction": "Of many comparisons some look like a difference by chance alone; the correction (Holm's) asks more "
    "of "
    "each of them.",
    "n": "How many runs, each from another seed, a mean is of.",
    "FLOPs": "Floating-point operations: what a training computes, whatever machine it runs on.",
    "ambiguous": "The examples on which the recorded network wavered most between epochs: high variability.",
    "hard-to-learn": "The examples of whose right answer the recorded network was least sure: low confidence. Wrong "
    "labels are among them.",
    "easy-to-learn": "The examples of whose right answer the recorded network was surest: high confidence.",
    "variability": "How much the probability of the right answer changed from epoch to epoch.",
    "confidence": "The mean probability that the network gave to the right answer, over the epochs.",
    "correctness": "In how many epochs the network had the example right.",
    "forgetfulness": "How steeply the probability of the right answer falls or rises over the epochs.",
    "repeated random": "Another random subset for every epoch, at the same cost; it needs no map.",
    "auto": "What trainmap itself keeps of a map at this size, from the hard, the easy and the wrongly labelled.",
    "label": "The right answer of a training example, as it is written in the data.",
    "compute": "What a training takes, counted in FLOPs.",
}
"""Each word with what it means, the longer ones found first."""

_LONGEST_FIRST = "|".join(re.escape(term) for term in sorted(TERMS, key=len, reverse=True) if term != "n")
_FOUND = re.compile(rf"(?<![\w-])({_LONGEST_FIRST})s?(?![\w-])")


def explained(text: str) -> Markup:
    """Text as HTML in which the first of each known word has its meaning, shown by hover, keyboard and touch.

    Everything else is text, whatever it means in HTML.
    """
    parts: list[str | Markup] = []
    seen: set[str] = set()
    end = 0
    plain = printable(text)
    for found in _FOUND.finditer(plain):
        term = found[1]
        if term in seen:
            continue
        seen.add(term)
        parts += [escape(plain[end : found.start()]), _term(found[0], TERMS[term])]
        end = found.end()
    return Markup("").join([*parts, escape(plain[end:])])


def _term(word: str, meaning: str) -> Markup:
    return Markup('<abbr class="term" tabindex="0">{}<span class="tip" role="tooltip">{}</span></abbr>').format(
        word, meaning
    )

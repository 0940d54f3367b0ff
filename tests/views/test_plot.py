from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import polars as pl
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.image import AxesImage, imread
from matplotlib.text import Text

from trainmap.errors import TrainmapError
from trainmap.maps.datamap import DataMap
from trainmap.maps.regions import assign
from trainmap.views import labels, plot, style
from trainmap.views.map_layout import layout_of
from trainmap.views.plot import plot_map
from trainmap.views.scale import PAD

DPI = 50


@dataclass(frozen=True)
class Stand:
    table: pl.DataFrame
    epochs: int
    rule: str = "quantile"
    class_names: tuple[str, ...] | None = None


def make(n: int, epochs: int = 6, seed: int = 0, unseen: int = 0) -> Stand:
    """A map from simulated learning curves; the first ``unseen`` examples were never seen."""
    random = np.random.default_rng(seed)
    hardness = np.exp(random.normal(0, 1, n))[:, None]
    z = 4 * np.tanh(np.arange(1, epochs + 1) / hardness) * np.where(random.random((n, 1)) < 0.1, -0.6, 1)
    z += random.normal(0, 1, (n, epochs))
    p = 1 / (1 + np.exp(-z))
    p[:unseen] = np.nan
    confidence, variability = p.mean(axis=1), p.std(axis=1)
    correctness = np.where(np.isnan(confidence), np.nan, (p > 0.5).sum(axis=1))
    return table(variability, confidence, correctness, epochs)


def table(variability: Any, confidence: Any, correctness: Any, epochs: int, region: Any = "assign") -> Stand:
    v, c, k = (np.asarray(values, dtype=np.float64) for values in (variability, confidence, correctness))
    ids = np.arange(len(v))
    frame = pl.DataFrame({"id": ids, "label": ids % 3, "confidence": c, "variability": v, "correctness": k})
    if region is None:
        return Stand(frame, epochs)
    names = list(assign(v, c, epochs)) if isinstance(region, str) else region
    return Stand(frame.with_columns(pl.Series("region", names, dtype=pl.String)), epochs)


@pytest.fixture
def figure(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved, in order."""
    saved: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (saved.append(self), save(self, *a, **k))[1])
    return saved


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text) if isinstance(text, Text))


def main_axes(figure: Figure) -> Axes:
    return figure.axes[0]


@pytest.mark.parametrize(
    ("suffix", "head"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF"), (".PNG", b"\x89PNG")]
)
def test_the_suffix_chooses_the_kind_of_file(tmp_path: Path, suffix: str, head: bytes) -> None:
    target = tmp_path / "deep" / f"map{suffix}"
    assert plot_map(make(60), target, dpi=DPI) == target
    assert target.read_bytes().startswith(head)
    assert [file.name for file in target.parent.iterdir()] == [target.name]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
@pytest.mark.parametrize("n", [300, plot.VECTOR_POINTS + 1, plot.POINTS + 1])
def test_equal_maps_give_equal_bytes_whatever_the_order_of_the_rows(tmp_path: Path, suffix: str, n: int) -> None:
    first = make(n)
    shuffled = replace(first, table=first.table.sample(fraction=1.0, shuffle=True, seed=3))
    files = [plot_map(m, tmp_path / f"{i}{suffix}", dpi=DPI) for i, m in enumerate((first, first, shuffled))]
    assert len({file.read_bytes() for file in files}) == 1


def test_other_examples_give_another_picture(tmp_path: Path) -> None:
    a, b = (plot_map(make(300, seed=seed), tmp_path / f"{seed}.png", dpi=DPI) for seed in (0, 1))
    assert a.read_bytes() != b.read_bytes()


def test_settings_of_the_caller_neither_change_the_picture_nor_are_changed(tmp_path: Path) -> None:
    plain = plot_map(make(100), tmp_path / "a.svg").read_bytes()
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "svg.hashsalt": None}):
        before = dict(matplotlib.rcParams)
        assert plot_map(make(100), tmp_path / "b.svg").read_bytes() == plain
        assert dict(matplotlib.rcParams) == before


def test_no_figure_is_left_with_pyplot(tmp_path: Path) -> None:
    import matplotlib.pyplot as plt

    plot_map(make(50), tmp_path / "a.png", dpi=DPI)
    assert plt.get_fignums() == []


def test_width_and_dpi_give_the_pixels(tmp_path: Path) -> None:
    for width in (3, 3.35, 4.99, 5, 6.9, 8, 12):
        image = imread(plot_map(make(50), tmp_path / "a.png", width_inches=width, dpi=100))
        made = layout_of(width)
        assert image.shape[1] == round(100 * width)
        assert image.shape[0] == pytest.approx(100 * width * made.height / made.width, abs=1)


def drawn_texts(figure: Figure) -> list[Any]:
    """Those that are to be seen: matplotlib makes labels of ticks outside the view as well."""
    texts: list[Any] = [*figure.texts]
    for axes in figure.axes:
        texts += [*axes.texts, axes.xaxis.label, axes.yaxis.label]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
            texts += [label for place, label in ticks if low <= place <= high]
    return [text for text in texts if text.get_text().strip()]


NAMED = ("T-shirt/top", "trouser", "$x$ and a name that is far too long for a legend")


@pytest.mark.parametrize("colour", ["correctness", "label", "confidence"])
@pytest.mark.parametrize("epochs", [1, 12, 40])
@pytest.mark.parametrize("width", [3.35, 6.9, 10])
def test_words_can_be_read_stay_inside_and_do_not_touch_in_columns_of_a_paper(
    tmp_path: Path, figure: list[Figure], width: float, epochs: int, colour: str
) -> None:
    named = replace(make(300, epochs, unseen=20), class_names=NAMED)
    plot_map(named, tmp_path / "a.png", width_inches=width, colour=colour, dpi=100)
    renderer = FigureCanvasAgg(figure[0]).get_renderer()
    texts = drawn_texts(figure[0])
    assert all(text.get_fontsize() >= 6.5 for text in texts)
    boxes = [text.get_window_extent(renderer) for text in texts]
    for box in boxes:
        assert -1 <= box.x0 < box.x1 <= figure[0].bbox.x1 + 1
        assert -1 <= box.y0 < box.y1 <= figure[0].bbox.y1 + 1
    for i, box in enumerate(boxes):
        touched = [texts[i + 1 + j].get_text() for j, other in enumerate(boxes[i + 1 :]) if box.overlaps(other)]
        assert touched == [], texts[i].get_text()


@pytest.mark.parametrize("width", [3.35, 10])
def test_classes_have_a_colour_each_and_their_names_and_shares(
    tmp_path: Path, figure: list[Figure], width: float
) -> None:
    datamap = replace(table([0.1] * 8, [0.5] * 8, [1] * 8, 3), class_names=NAMED)
    plot_map(datamap, tmp_path / "a.png", colour="label", width_inches=width, dpi=DPI)
    for words_ in ("T-shirt/top · 37.5 %", "trouser · 37.5 %", "$x$ and a", "25.0 %"):
        assert words_ in words(figure[0])
    drawn = {tuple(row) for row in np.round(main_axes(figure[0]).collections[0].get_facecolor()[:, :3], 6)}  # pyright: ignore
    assert drawn == {tuple(row) for row in np.round(to_rgba_array(style.CLASS_COLOURS[:3])[:, :3], 6)}
    swatches = [patch.get_facecolor()[:3] for patch in figure[0].axes[3].patches]  # pyright: ignore
    assert np.allclose(swatches, to_rgba_array(style.CLASS_COLOURS[:3])[:, :3])


def test_classes_without_names_are_numbers_and_too_many_are_a_scale(tmp_path: Path, figure: list[Figure]) -> None:
    datamap = make(300)
    plot_map(datamap, tmp_path / "a.png", colour="label", dpi=DPI)
    assert "0 · 33.3 %" in words(figure[0])
    many = replace(datamap, table=datamap.table.with_columns(label=pl.Series(np.arange(300) % 13)))
    plot_map(many, tmp_path / "a.png", colour="label", dpi=DPI)
    assert "%" not in "".join(text.get_text() for text in figure[1].axes[3].texts)
    strange = replace(datamap, table=datamap.table.with_columns(label=pl.Series(np.arange(300) % 3 - 1)))
    assert plot_map(strange, tmp_path / "a.png", colour="label", dpi=DPI).exists()


def test_a_bin_of_classes_has_the_colour_of_the_most_frequent(tmp_path: Path, figure: list[Figure]) -> None:
    n = plot.POINTS + 2
    datamap = table([0.1] * n, [0.5] * n, [1] * n, 3, region=None)
    labels_ = pl.Series([0] * 9 + [2] * (n - 9))
    plot_map(
        replace(datamap, table=datamap.table.with_columns(label=labels_)), tmp_path / "a.png", colour="label", dpi=DPI
    )
    pixels = np.asarray(main_axes(figure[0]).images[0].get_array())
    (shown,) = pixels[pixels[..., 3] > 0]
    assert np.allclose(shown[:3] / 255, to_rgba_array(style.CLASS_COLOURS[2])[0, :3], atol=0.003)
    assert "the most frequent class" in words(figure[0])


def test_the_title_says_examples_epochs_and_rule(tmp_path: Path, figure: list[Figure]) -> None:
    plot_map(replace(make(1234, epochs=7), rule="corner"), tmp_path / "a.png", title="Costs $5 or $6", dpi=DPI)
    said = words(figure[0])
    for part in ("Costs $5 or $6", "1,234 examples", "7 epochs", "corner rule"):
        assert part in said


def test_regions_are_named_with_count_and_share_and_marked_at_the_member_nearest_to_their_median(
    tmp_path: Path, figure: list[Figure]
) -> None:
    datamap = make(400)
    plot_map(datamap, tmp_path / "a.png", dpi=DPI)
    axes = main_axes(figure[0])
    rings = [line for line in axes.lines if line.get_marker() == "o"]
    to_data = axes.transAxes + axes.transData.inverted()
    places = {tuple(np.round(to_data.transform(ring.get_xydata())[0], 6)) for ring in rings}
    for name in ("easy-to-learn", "ambiguous", "hard-to-learn"):
        members = datamap.table.filter(pl.col("region") == name)
        assert f"{name}\n{members.height} · {members.height / 4:.1f} %" in words(figure[0])
        points = members.select("variability", "confidence").to_numpy() * [2, 1]  # as wide as high
        nearest = points[np.hypot(*(points - np.median(points, axis=0)).T).argmin()] / [2, 1]
        assert tuple(np.round(nearest, 6)) in places


def test_a_ring_stands_on_a_member_also_where_their_median_is_none(tmp_path: Path, figure: list[Figure]) -> None:
    v, c = [0.0] * 11 + [0.45] * 10, [0.5] * 11 + [0.05] * 5 + [0.95] * 5
    plot_map(table(v, c, [1] * 21, 5, region=["ambiguous"] * 21), tmp_path / "a.png", dpi=DPI)
    axes = main_axes(figure[0])
    ring = next(line for line in axes.lines if line.get_marker() == "o")
    place = (axes.transAxes + axes.transData.inverted()).transform(ring.get_xydata())[0]
    assert np.round(place, 6).tolist() in [list(point) for point in zip(v, c, strict=True)]


@pytest.mark.parametrize(
    "datamap",
    [
        make(50),
        make(500),
        make(plot.POINTS + 1),
        table([0.1] * 40, [0.7] * 40, [3] * 40, 5, region=["ambiguous", "easy-to-learn"] * 20),
        table([0.1] * 60, [0.7] * 60, [3] * 60, 5, region=[f"region {i % 8}" for i in range(60)]),
    ],
    ids=["50", "500", "bins", "all the same", "eight regions in one place"],
)
def test_labels_of_regions_do_not_touch_and_stay_inside(tmp_path: Path, figure: list[Figure], datamap: Stand) -> None:
    plot_map(datamap, tmp_path / "a.png")
    axes = main_axes(figure[0])
    renderer = FigureCanvasAgg(figure[0]).get_renderer()
    boxes = [t.get_bbox_patch().get_window_extent(renderer) for t in axes.texts if t.get_bbox_patch() is not None]  # pyright: ignore
    assert len(boxes) == datamap.table["region"].drop_nulls().n_unique()
    frame = axes.get_window_extent(renderer)
    for i, box in enumerate(boxes):
        assert frame.x0 <= box.x0 < box.x1 <= frame.x1
        assert frame.y0 <= box.y0 < box.y1 <= frame.y1
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])


def test_few_examples_are_points_and_many_are_bins(tmp_path: Path, figure: list[Figure]) -> None:
    for n in (plot.POINTS, plot.POINTS + 1):
        plot_map(make(n), tmp_path / "a.png", dpi=DPI)
    few, many = (main_axes(f) for f in figure)
    assert len(few.collections[0].get_offsets()) == plot.POINTS  # pyright: ignore
    assert not few.images
    assert len(many.images) == 1
    assert not any(len(c.get_offsets()) > 1 for c in many.collections)  # pyright: ignore


def test_a_bin_has_the_colour_of_its_mean_and_an_empty_one_is_clear(tmp_path: Path, figure: list[Figure]) -> None:
    n = plot.POINTS
    datamap = table([0.0] * n + [0.5] * n, [0.0] * n + [1.0] * n, [0, 4] * (n // 2) + [4] * n, 4, region=None)
    plot_map(datamap, tmp_path / "a.png", dpi=DPI)
    image = next(i for i in main_axes(figure[0]).images if isinstance(i, AxesImage))
    pixels = np.asarray(image.get_array())
    assert (pixels[..., 3] > 0).sum() == 2
    np.testing.assert_allclose(pixels[0, 0] / 255, style.PALETTE(0.5), atol=0.003)
    np.testing.assert_allclose(pixels[-1, -1] / 255, style.PALETTE(1.0), atol=0.003)


def test_points_have_the_colour_of_their_correctness_as_a_share_of_the_epochs(
    tmp_path: Path, figure: list[Figure]
) -> None:
    plot_map(table([0.1, 0.2], [0.9, 0.5], [4, 2], 8), tmp_path / "a.png", dpi=DPI)
    colours = main_axes(figure[0]).collections[0].get_facecolor()
    drawn = {tuple(row) for row in np.round(np.asarray(colours)[:, :3], 6)}
    assert drawn == {tuple(np.round(style.PALETTE(share)[:3], 6)) for share in (0.5, 0.25)}


def test_the_legend_has_the_share_of_each_count(tmp_path: Path, figure: list[Figure]) -> None:
    plot_map(table([0.1] * 8, [0.5] * 8, [0, 1, 1, 3, 3, 3, 3, 3], 3), tmp_path / "a.png", dpi=DPI)
    texts = [text.get_text() for text in figure[0].axes[3].texts]
    assert texts[:4] == ["12.5 %", "25.0 %", "0.0 %", "62.5 %"]


def test_the_margins_count_every_drawn_example(tmp_path: Path, figure: list[Figure]) -> None:
    plot_map(make(700, unseen=100), tmp_path / "a.png", dpi=DPI)
    for axes in figure[0].axes[1:3]:
        heights = axes.patches[0].get_data().values  # pyright: ignore
        assert round(float((np.asarray(heights) ** 2).sum())) == 600


def test_examples_never_seen_are_counted_on_the_picture(tmp_path: Path, figure: list[Figure]) -> None:
    plot_map(make(200, unseen=30), tmp_path / "a.png", dpi=DPI)
    assert "Not drawn: 30 examples (15.0 %)" in words(figure[0])
    plot_map(make(200), tmp_path / "a.png", dpi=DPI)
    assert "Not drawn" not in words(figure[1])


def test_null_counts_as_never_seen(tmp_path: Path, figure: list[Figure]) -> None:
    datamap = make(100)
    frame = datamap.table.with_columns(pl.when(pl.col("id") > 0).then(pl.col("confidence")).alias("confidence"))
    plot_map(replace(datamap, table=frame), tmp_path / "a.png", dpi=DPI)
    assert "Not drawn: 1 example (1.0 %)" in words(figure[0])


def test_examples_in_no_region_are_counted(tmp_path: Path, figure: list[Figure]) -> None:
    plot_map(table([0.1] * 4, [0.5] * 4, [1] * 4, 2, region=["ambiguous", None, None, "ambiguous"]), tmp_path / "a.png")
    assert "In no region: 2 examples (50.0 %)" in words(figure[0])
    assert "Empty: easy-to-learn, hard-to-learn." in words(figure[0])


@pytest.mark.parametrize(
    "datamap",
    [
        table([0.2], [0.5], [1], 3),
        table(np.zeros(30), np.linspace(0, 1, 30), np.arange(30) % 2, 1),
        table([0.0] * 9, [1.0] * 9, [6] * 9, 6),
        table([0.0] * (plot.POINTS + 1), [1.0] * (plot.POINTS + 1), [6] * (plot.POINTS + 1), 6),
        table([0.1, 0.2], [0.5, 0.6], [1, 2], 3, region=None),
        table([0.1, 0.2], [0.5, 0.6], [1, 2], 3, region=[None, None]),
        make(200, epochs=150),
        make(200, epochs=40),
    ],
    ids=["one", "one epoch", "the same", "the same, many", "no regions", "null regions", "150 epochs", "40 epochs"],
)
def test_odd_maps_are_drawn_without_a_warning(tmp_path: Path, datamap: Stand) -> None:
    assert plot_map(datamap, tmp_path / "a.png", dpi=DPI).stat().st_size > 1000


def test_a_map_without_regions_says_so(tmp_path: Path, figure: list[Figure]) -> None:
    plot_map(table([0.1, 0.2], [0.5, 0.6], [1, 2], 3, region=None), tmp_path / "a.png", dpi=DPI)
    assert "no regions" in words(figure[0])
    assert "Empty" not in words(figure[0])


def test_any_columns_of_numbers_can_be_drawn(tmp_path: Path, figure: list[Figure]) -> None:
    datamap = make(200)
    frame = datamap.table.with_columns(aum=pl.col("confidence") * 20 - 9, forgetting=pl.lit(2.0))
    plot_map(replace(datamap, table=frame), tmp_path / "a.png", x="forgetting", y="aum", colour="aum", dpi=DPI)
    axes = main_axes(figure[0])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("forgetting", "aum")
    low, high = axes.get_ylim()
    assert low < frame["aum"].to_numpy().min() < frame["aum"].to_numpy().max() < high
    assert "most variability" not in words(figure[0])


def test_variability_and_confidence_keep_their_whole_range(tmp_path: Path, figure: list[Figure]) -> None:
    plot_map(table([0.1, 0.2], [0.5, 0.6], [1, 2], 3), tmp_path / "a.png", dpi=DPI)
    axes = main_axes(figure[0])
    assert axes.get_xlim() == pytest.approx((0, 0.5), abs=0.02)
    assert axes.get_ylim() == pytest.approx((0, 1), abs=0.02)


def test_a_real_map_is_drawn(tmp_path: Path, figure: list[Figure]) -> None:
    stand = make(300)
    plot_map(DataMap(stand.table, 6, "quantile", 1 / 3, "train", "x"), tmp_path / "a.png", dpi=DPI)
    assert "quantile rule" in words(figure[0])


@pytest.mark.parametrize("name", ["map.jpg", "map", "map.html"])
def test_another_suffix_is_refused_with_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(TrainmapError, match=re.escape(f".png, .svg, .pdf, got '{name}'")):
        plot_map(make(20), tmp_path / name)
    assert not any(tmp_path.iterdir())


def test_an_unknown_column_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match="did you mean 'variability'"):
        plot_map(make(20), tmp_path / "a.png", x="variabilty")


def test_a_column_of_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match="unknown column of numbers 'region'"):
        plot_map(make(20), tmp_path / "a.png", colour="region")


def test_correctness_above_the_epochs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match="correctness must be 0 to 3"):
        plot_map(table([0.1, 0.2], [0.5, 0.6], [1, 4], 3), tmp_path / "a.png")


def test_a_map_where_nothing_was_seen_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match="none of 5 has all three"):
        plot_map(make(5, unseen=5), tmp_path / "a.png")


@pytest.mark.parametrize("sizes", [{"width_inches": 0}, {"width_inches": 100}, {"dpi": 1}, {"dpi": float("nan")}])
def test_a_size_out_of_range_is_refused(tmp_path: Path, sizes: dict[str, Any]) -> None:
    with pytest.raises(TrainmapError, match=f"{next(iter(sizes))} must be"):
        plot_map(make(5), tmp_path / "a.png", **sizes)


def test_the_palette_has_even_steps_from_dark_to_light_and_stands_out_from_white() -> None:
    colours = style.PALETTE(np.linspace(0, 1, 11))[:, :3]
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    lightness = 116 * np.cbrt(np.maximum(luminance, 0.008856)) - 16
    steps = np.diff(lightness)
    assert steps.min() > 0
    assert steps.max() < 1.6 * steps.min()
    assert lightness[-1] < 85


def test_drawing_needs_no_pyplot() -> None:
    code = "import sys, trainmap.views.plot; sys.exit('matplotlib.pyplot' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("n", [60, 2_000])
@pytest.mark.parametrize("kind", ["curves", "other curves", "everywhere"])
def test_no_name_of_a_region_hides_an_example_where_the_picture_has_room(
    n: int, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = make(n, seed=int(kind == "other curves"))
    if kind == "everywhere":  # the corners beside the curve have room for two names
        draws = np.random.default_rng(0)
        confidence = draws.uniform(0, 1, n)
        variability = np.sqrt(confidence * (1 - confidence)) * draws.uniform(0, 1, n)
        made = table(variability, confidence, draws.integers(0, 7, n), 6)
    boxes: list[tuple[float, float, float, float]] = []
    place = labels._place

    def watched(*given: Any) -> tuple[float, float, float, float]:
        boxes.append(place(*given))
        return boxes[-1]

    monkeypatch.setattr(labels, "_place", watched)
    plot_map(made, tmp_path / "map.png", dpi=DPI)
    across = (made.table["variability"].to_numpy() / 0.5 + PAD) / (1 + 2 * PAD)
    up = (made.table["confidence"].to_numpy() + PAD) / (1 + 2 * PAD)
    hiding = [
        bool(((across > left) & (across < right) & (up > bottom) & (up < top)).any())
        for left, bottom, right, top in boxes
    ]
    assert len(boxes) >= 2
    assert sum(hiding) <= (kind == "everywhere")

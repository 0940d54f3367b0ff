from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import polars as pl
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from trainmap.cli.app import app
from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError
from trainmap.models.build import MODELS, build
from trainmap.models.catalogue import Catalogue, catalogue, family
from trainmap.views.model_table import lines, show

runner = CliRunner()


@pytest.fixture(scope="module")
def small() -> Catalogue:
    return catalogue(Inputs.images(1, 28), families=["cnn", "vgg"])


def test_the_table_holds_what_the_networks_count(small: Catalogue) -> None:
    row = small.table.filter(pl.col("model") == "cnn-16").to_dicts()
    by_hand = 2 * (28**2 * 144 + 14**2 * 4608 + 7**2 * 18432 + 3**2 * 36864 + 640)
    statistics = 2 * (16 + 32 + 64 + 64)
    assert row == [
        {
            "model": "cnn-16",
            "family": "cnn",
            "parameters": 61_050,
            "flops": by_hand,
            "activations": 16 * 28**2 + 32 * 14**2 + 64 * 7**2 + 64 * 3**2 + 10,
            "bytes": 4 * (61_050 + statistics) + 4 * 8,
        }
    ]


def test_bytes_are_those_of_the_file_but_for_its_headers(small: Catalogue, tmp_path: Path) -> None:
    state = build("vgg11", 10, Inputs.images(1, 28), seed=0).state_dict()
    torch.save(state, tmp_path / "weights.pt")
    (counted,) = small.table.filter(pl.col("model") == "vgg11")["bytes"]
    written = (tmp_path / "weights.pt").stat().st_size
    assert counted < written < counted + 1000 * (len(state) + 2)


def test_only_the_families_asked_for_are_counted(small: Catalogue) -> None:
    names = ["cnn-4", "cnn-8", "cnn-16", "cnn-24", "cnn-32", "vgg11", "vgg13", "vgg16"]
    assert small.table["model"].to_list() == names
    with pytest.raises(TrainmapError, match="unknown family 'vggg'; did you mean 'vgg'"):
        catalogue(Inputs.images(1, 28), families=["vggg"])


def test_every_model_has_a_family_that_its_name_begins_with() -> None:
    for name in MODELS:
        assert name.startswith(family(name))
    assert {family(name) for name in ("resnet8-16", "resnet18", "resnet20-16", "resnet50+pretrained")} == {"resnet"}
    assert family("mobilenetv2-0.35") == "mobilenetv2"
    assert family("octresnet8-16-a25") == "octresnet"


def test_networks_that_do_not_fit_are_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    found = catalogue(Inputs.images(1, 16), families=["mlp", "vgg"])
    assert found.table["model"].to_list() == ["mlp-256"]
    assert "at least 17 pixels, got 16" in found.left_out["vgg11"]
    monkeypatch.setitem(sys.modules, "timm", None)
    found = catalogue(Inputs.images(1, 28), families=["mobilenetv2"])
    assert found.table.is_empty()
    assert "pip install 'trainmap[vision]'" in found.left_out["mobilenetv2-1.0"]


def test_images_that_no_network_takes_are_an_error_and_not_an_empty_table() -> None:
    with pytest.raises(TrainmapError, match="at least 8 x 8, got 3 x 7 x 7 pixels"):
        catalogue(Inputs.images(3, 7))


def test_every_format_has_every_model_and_its_numbers(small: Catalogue) -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(show(small, "table"))
    drawn = console.export_text()
    markdown = show(small, "md")
    assert isinstance(markdown, str)
    for line in lines(small):
        assert all(cell in drawn for cell in line)
        assert list(line) in [[cell.strip() for cell in row.strip("|").split("|")] for row in markdown.splitlines()]
    csv, text = show(small, "csv"), show(small, "json")
    assert isinstance(csv, str)
    assert isinstance(text, str)
    assert pl.read_csv(csv.encode()).equals(small.table)
    told = json.loads(text)
    assert pl.DataFrame(told["models"]).equals(small.table)
    assert (told["shape"], told["classes"]) == ([1, 28, 28], 10)
    with pytest.raises(TrainmapError, match="unknown format 'xml'"):
        show(small, "xml")


def test_the_command_prints_the_table_and_says_what_it_left_out() -> None:
    done = runner.invoke(app, ["models", "--size", "16", "--channels", "1", "--family", "cnn,vgg", "--format", "md"])
    assert done.exit_code == 0
    assert "| cnn-8 " in done.stdout
    assert "left out: vgg16" in done.stderr
    assert "vgg16" not in done.stdout


@pytest.mark.slow
def test_the_table_in_the_documentation_is_what_the_command_prints() -> None:
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    done = runner.invoke(app, ["models", "--format", "md"])
    assert done.exit_code == 0
    assert done.stdout.strip() in page

"""Protocols on a toy model: the scores are those of views cut by hand, put through the network one by one and averaged."""

import numpy as np
import pytest
import torch

from gsfnas.candidate import BackboneRef, Candidate, Insertion
from gsfnas.data import DataSettings
from gsfnas.errors import UserError
from gsfnas.model import build_model
from gsfnas.train import ProtocolSettings, TrainedModel, TrainSettings, run_test
from gsfnas.train._checkpoint import save_weights
from gsfnas.weights import InputNormalization
from gsfnas.weights._normalization import CAFFE, IMAGENET

CPU = TrainSettings(device="cpu")
FRAMES, SIDE, CUT = 4, 20, 16
TOY = Candidate(
    BackboneRef.of("micro"), FRAMES, CUT, (("layer1.0.conv1", Insertion.of("gate_shift_fuse", {"channels": 4, "gate": "1"})),)
)


@pytest.fixture(scope="module")
def frames():
    """Videos of 13 frames of 20 x 30 pixels, as they are on disk: JPEG would change them, PNG does not."""
    return np.random.default_rng(0).integers(0, 256, (6, 13, SIDE, 30, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def settings(frames, tmp_path_factory):
    from PIL import Image

    root = tmp_path_factory.mktemp("videos")
    for split in ("train", "val", "test"):
        for number, video in enumerate(frames):
            folder = root / split / "abc"[number % 3] / f"{number // 3}"
            folder.mkdir(parents=True)
            for count, image in enumerate(video):
                Image.fromarray(image).save(folder / f"{count:05d}.png")
    cache = str(tmp_path_factory.mktemp("cache"))
    return DataSettings(name="folder", root=str(root), frames=FRAMES, resolution=CUT, short_side=SIDE, cache=cache)


def weights(folder, candidate=TOY, heads=None, pixels: InputNormalization | None = IMAGENET):
    """A network with statistics that are not the default, and its file."""
    heads = heads or {"class": 3}
    model = build_model(candidate, heads, seed=5).eval()
    generator = torch.Generator().manual_seed(0)
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5, generator=generator)
        elif name.endswith("running_mean") or name.startswith("heads"):
            value.uniform_(-0.3, 0.3, generator=generator)
    metadata = {"candidate": candidate.to_json(), "heads": str(heads).replace("'", '"')}
    path = save_weights(folder, model.state_dict(), metadata | ({} if pixels is None else {"pixels": pixels.to_text()}))
    return model, TrainedModel.of(path)


def by_hand(model, video, places, corners):
    """The mean logits of clips of these frames, each cut at these left edges."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    logits = []
    for frames in places:
        for left in corners:
            top = (SIDE - CUT) // 2
            cut = video[frames, top : top + CUT, left : left + CUT] / 255
            clip = torch.from_numpy((cut - mean) / std).permute(0, 3, 1, 2).float()
            with torch.inference_mode():
                logits.append(model(clip[None])["class"][0])
    return torch.stack(logits).double().mean(dim=0).numpy()


# 13 frames in 4 segments of 3.25: the middles are 1.6, 4.9, 8.1, 11.4, the beginnings 0, 3.25, 6.5, 9.75.
MIDDLES, BEGINNINGS = [1, 4, 8, 11], [0, 3, 6, 9]


@pytest.mark.parametrize(
    ("protocol", "places", "corners"),
    [
        (ProtocolSettings("efficiency", 1, 1), [MIDDLES], [7]),
        (ProtocolSettings("accuracy", 2, 3), [BEGINNINGS, MIDDLES], [0, 7, 14]),
    ],
)
def test_scores_are_those_computed_by_hand(settings, frames, tmp_path, protocol, places, corners):
    model, trained = weights(tmp_path)
    scores = run_test(trained, settings, CPU, protocol).tasks["class"]
    # The clips stand class by class.
    order = [0, 3, 1, 4, 2, 5]
    expected = np.stack([by_hand(model, frames[number], places, corners) for number in order])
    assert scores.scores == pytest.approx(expected, abs=1e-5)
    assert scores.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert np.ptp(expected, axis=0).min() > 1e-3


def test_the_pixels_of_the_weights_are_used(settings, tmp_path):
    _, plain = weights(tmp_path / "a")
    _, caffe = weights(tmp_path / "b", pixels=CAFFE)
    _, unsaid = weights(tmp_path / "c", pixels=None)
    first, other, third = (
        run_test(trained, settings, CPU, ProtocolSettings()).tasks["class"].scores for trained in (plain, caffe, unsaid)
    )
    assert not np.allclose(first, other, atol=1e-3)
    assert np.array_equal(first, third)


def test_what_is_said_of_videos_that_are_too_short(settings, tmp_path):
    _, trained = weights(tmp_path)
    said = []
    run_test(trained, settings, CPU, ProtocolSettings("dense", 3, 1), say=said.append)
    assert said == []
    with pytest.raises(UserError, match=r"`protocol\.clips` is 14, but the longest video has 13 frames"):
        run_test(trained, settings, CPU, ProtocolSettings("dense", 14, 1))


def test_weights_and_data_that_do_not_go_together(settings, tmp_path):
    _, trained = weights(tmp_path / "heads", heads={"class": 7})
    with pytest.raises(UserError, match=r"has heads for 7 class classes, but the data have 3 class classes$"):
        run_test(trained, settings, CPU, ProtocolSettings())
    longer = Candidate(TOY.backbone, 8, CUT, TOY.insertions)
    _, trained = weights(tmp_path / "frames", candidate=longer)
    with pytest.raises(UserError, match="reads 8 frames at 16 px, but the data give 4 frames at 16 px"):
        run_test(trained, settings, CPU, ProtocolSettings())
    with pytest.raises(UserError, match="unknown split 'tset'; did you mean 'test'"):
        run_test(weights(tmp_path / "split")[1], settings, CPU, ProtocolSettings(), split="tset")


def test_the_task_of_a_single_head_may_have_another_name(settings, tmp_path):
    _, trained = weights(tmp_path, heads={"label": 3})
    assert list(run_test(trained, settings, CPU, ProtocolSettings()).tasks) == ["class"]


def test_files_that_are_no_trained_network(tmp_path):
    for name in ("folder", "run"):
        (tmp_path / name).mkdir()
    (tmp_path / "run" / "last.pt").touch()
    (tmp_path / "half.safetensors").write_bytes(b"\x10\0\0\0")
    (tmp_path / "weights.pth").write_bytes(b"x")
    save_weights(tmp_path / "bare", {"a": torch.zeros(1)}, {})
    save_weights(tmp_path / "headless", {"a": torch.zeros(1)}, {"candidate": TOY.to_json(), "heads": "{}"})
    for place, said in {
        "nowhere": "there is no run and no weights file",
        "folder": "is not a run's folder: it has no weights.safetensors",
        "run": "has no weights.safetensors: if the run has not finished",
        "half.safetensors": "is not a valid safetensors file",
        "weights.pth": "import it first: gsfnas weights import",
        "bare": "does not name its candidate",
        "headless": "has a backbone but no head",
    }.items():
        with pytest.raises(UserError, match=said) as caught:
            TrainedModel.of(tmp_path / place)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "heads", ["[]", "3", '{"class": "3"}', '{"class": 0}', '{"class": true}', "[" * 10_000, '{"class": ' + "9" * 5000]
)
def test_heads_that_are_none(tmp_path, heads):
    save_weights(tmp_path, {"a": torch.zeros(1)}, {"candidate": TOY.to_json(), "heads": heads})
    with pytest.raises(UserError, match="does not name its candidate"):
        TrainedModel.of(tmp_path)


def test_weights_that_are_not_their_candidates_are_one_line(settings, tmp_path):
    model = build_model(TOY, {"class": 3})
    state = {name: value for name, value in model.state_dict().items() if "layer2" not in name}
    save_weights(tmp_path, state, {"candidate": TOY.to_json(), "heads": '{"class": 3}'})
    with pytest.raises(UserError, match="does not fit its candidate") as caught:
        run_test(TrainedModel.of(tmp_path), settings, CPU, ProtocolSettings())
    assert "\n" not in str(caught.value)


def test_a_protocol_out_of_range_is_one_line():
    for values, said in (
        ({"clips": 0}, "`protocol.clips` must be an integer from 1 to 100, but got 0"),
        ({"crops": 2}, "`protocol.crops` must be 1 or 3, but got 2"),
        ({"name": "a b"}, "`protocol.name` must be letters"),
    ):
        with pytest.raises(UserError) as caught:
            ProtocolSettings(**values)
        assert said in str(caught.value)


def test_views_multiply_the_cost():
    assert ProtocolSettings("accuracy", 10, 3).views == 30

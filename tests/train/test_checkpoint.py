import errno
import os

import pytest
import torch
from safetensors import safe_open

from gsfnas.evaluators.base import Measurement
from gsfnas.train import _checkpoint
from gsfnas.train._checkpoint import Checkpoint, RunIdentity, is_whole, load, save, save_weights
from gsfnas.train._log import RunLog

IDENTITY = RunIdentity.of("{}", {"class": 3}, 1, "r1-x", "twins-x")


def checkpoint(epoch: int, **more) -> Checkpoint:
    state = {"weight": torch.full((3, 2), float(epoch))}
    optimiser = {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    return Checkpoint(IDENTITY, epoch, ({"val_top1": 0.5},) * epoch, model=state, optimiser=optimiser, **more)


def test_what_is_saved_is_loaded(tmp_path):
    loaded = load(save(tmp_path, checkpoint(2)))
    assert (loaded.identity, loaded.epoch, loaded.is_finished) == (IDENTITY, 2, False)
    assert loaded.curve == ({"val_top1": 0.5},) * 2
    assert torch.equal(loaded.model["weight"], torch.full((3, 2), 2.0))
    assert loaded.optimiser["param_groups"][0]["lr"] == 0.1


def test_a_missing_one_is_none(tmp_path):
    assert load(tmp_path / "last.pt") is None


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_one_falls_back_to_the_one_before(tmp_path, share):
    save(tmp_path, checkpoint(1))
    last = save(tmp_path, checkpoint(2))
    content = last.read_bytes()
    last.write_bytes(content[: int(len(content) * share)])
    assert load(last).epoch == 1


def test_killed_between_the_two_renames(tmp_path):
    save(tmp_path, checkpoint(1))
    save(tmp_path, checkpoint(2)).unlink()
    assert load(tmp_path / "last.pt").epoch == 1


def test_a_finished_run_keeps_no_former_one(tmp_path):
    save(tmp_path, checkpoint(1))
    assert load(save(tmp_path, checkpoint(2, is_finished=True))).is_finished
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_one_and_nothing_partial(tmp_path, monkeypatch, call):
    save(tmp_path, checkpoint(1))

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if call == "fsync":
        monkeypatch.setattr(_checkpoint.os, "fsync", full)
    else:
        monkeypatch.setattr(_checkpoint.Path, "replace", full)
    with pytest.raises(OSError, match="No space left") as raised:
        save(tmp_path, checkpoint(2))
    assert raised.value.errno == errno.ENOSPC
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]
    assert load(tmp_path / "last.pt").epoch == 1


def test_no_code_of_a_file_is_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "sprung"),))

    torch.save({"version": 1, "trap": Trap()}, tmp_path / "last.pt")
    assert load(tmp_path / "last.pt") is None
    assert not (tmp_path / "sprung").exists()


def test_final_weights_say_what_they_are(tmp_path):
    weight = torch.randn(4, 3, 2, 2).contiguous(memory_format=torch.channels_last)
    path = save_weights(tmp_path, {"conv.weight": weight, "steps": torch.tensor(3)}, {"candidate": '{"frames":8}'})
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"candidate": '{"frames":8}'}
        assert torch.equal(file.get_tensor("conv.weight"), weight)
        assert file.get_tensor("steps") == 3


def test_a_pipe_is_no_checkpoint_and_waits_for_nobody(tmp_path):
    os.mkfifo(tmp_path / "last.pt")
    assert load(tmp_path / "last.pt") is None
    assert not is_whole(tmp_path / "last.pt")
    assert load(save(tmp_path, checkpoint(1))).epoch == 1


def test_what_a_kill_left_of_a_file_goes_with_the_next_write(tmp_path):
    for name in ("last.pt.7.partial", "weights.safetensors.7.partial", "log.csv.7.partial", "letter.txt"):
        (tmp_path / name).write_text("half")
    save(tmp_path, checkpoint(1))
    assert sorted(path.name for path in tmp_path.iterdir() if "last" in path.name) == ["last.pt"]
    save_weights(tmp_path, {"weight": torch.ones(1)}, {})
    with RunLog(tmp_path) as log:
        log._add_to_tensorboard = lambda measurement: None
        log.add(Measurement(1, {"val_top1": 0.5}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "letter.txt", "log.csv", "weights.safetensors"]


def test_without_tensorboard_the_csv_is_kept_alone_and_the_extra_is_named(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("gsfnas.train._log.importlib.util.find_spec", lambda name: None)
    with RunLog(tmp_path) as log:
        log.add(Measurement(1, {"val_top1": 0.5}))
        log.add(Measurement(2, {"val_top1": 0.5}))
    assert [record.getMessage() for record in caplog.records] == [
        'TensorBoard is not installed, so the run keeps log.csv alone: pip install "gsfnas[tensorboard]"'
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


@pytest.mark.parametrize("content", ["epoch,val_top1\n1,0.5\n", "epoch,val_top1\none,0.5\n", "\x00", "epoch\n" + "9" * 200000])
def test_a_log_is_taken_up_as_far_as_it_can_be_read(tmp_path, content):
    (tmp_path / "log.csv").write_text(content)
    log = RunLog(tmp_path)
    assert log._rows == ({1: {"val_top1": "0.5"}} if content.startswith("epoch,val_top1\n1") else {})


def test_a_pipe_is_no_log(tmp_path):
    os.mkfifo(tmp_path / "log.csv")
    assert RunLog(tmp_path)._rows == {}

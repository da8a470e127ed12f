"""What every temporal module promises; a test class inherits it and says how to make its module."""

import copy
import io

import pytest
import torch
from torch import Tensor, nn

from gsfnas.errors import UserError

CHANNELS = 16


class TemporalModuleConformance:
    """Give ``make(frames, ratio)`` returning a module on ``CHANNELS`` channels, its weights far from their initial zeros."""

    def make(self, frames: int = 4, ratio: float = 0.5) -> nn.Module:
        raise NotImplementedError

    def num_shifted(self, ratio: float) -> int:
        return int(CHANNELS * ratio)

    def features(self, clips: int = 2, frames: int = 4, size: tuple[int, int] = (5, 3)) -> Tensor:
        return torch.randn(clips * frames, CHANNELS, *size)

    @pytest.mark.parametrize("frames", [1, 2, 4])
    @pytest.mark.parametrize("ratio", [0.25, 1.0])
    def test_shape_and_type_are_kept(self, frames, ratio):
        x = self.features(frames=frames)
        y = self.make(frames, ratio)(x)
        assert y.shape == x.shape
        assert y.dtype == x.dtype

    def test_channels_past_the_ratio_pass_bit_for_bit_and_the_touched_ones_change(self):
        x = self.features()
        y = self.make(ratio=0.5)(x)
        assert torch.equal(y[:, self.num_shifted(0.5) :], x[:, self.num_shifted(0.5) :])
        assert not torch.equal(y[:, : self.num_shifted(0.5)], x[:, : self.num_shifted(0.5)])

    def test_clips_do_not_leak_into_each_other(self):
        module = self.make().eval()
        x = self.features(clips=3)
        other = x.clone()
        other[4:8] = torch.randn_like(other[4:8])
        changed = (module(x) != module(other)).flatten(1).any(1).view(3, 4).any(1)
        assert changed.tolist() == [False, True, False]

    def test_a_clip_gives_the_same_alone_and_in_a_batch(self):
        module = self.make().eval()
        x = self.features(clips=3)
        alone = torch.cat([module(clip) for clip in x.split(4)])
        torch.testing.assert_close(module(x), alone, atol=1e-6, rtol=1e-6)

    @pytest.mark.parametrize("frames", [1, 4])
    def test_gradients_are_finite_and_reach_every_parameter(self, frames):
        module = self.make(frames)
        x = self.features(frames=frames).requires_grad_()
        module(x).square().sum().backward()
        assert x.grad.isfinite().all()
        assert x.grad.any() or frames == 1
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any() or frames == 1, name  # alone, a frame with gate 1 has nothing to mix

    def test_gradients_are_those_of_finite_differences(self):
        module = self.make(3).double()
        x = self.features(clips=2, frames=3, size=(2, 3)).double().requires_grad_()
        torch.autograd.gradcheck(lambda x, *_: module(x), (x, *module.parameters()), fast_mode=True)

    def test_state_dict_round_trip(self):
        module, other = self.make().eval(), self.make().eval()
        other.load_state_dict({name: torch.zeros_like(value) for name, value in module.state_dict().items()})
        file = io.BytesIO()
        torch.save(module.state_dict(), file)
        file.seek(0)
        other.load_state_dict(torch.load(file, weights_only=True))
        x = self.features()
        assert torch.equal(module(x), other(x))

    def test_a_deep_copy_is_independent_and_equal(self):
        module = self.make().eval()
        twin = copy.deepcopy(module)
        x = self.features()
        assert torch.equal(module(x), twin(x))
        assert not {id(p) for p in module.parameters()} & {id(p) for p in twin.parameters()}

    @pytest.mark.parametrize("ratio", [0.5, 1.0])
    def test_channels_last_is_kept_and_equal(self, ratio):
        module = self.make(ratio=ratio).eval()
        x = self.features()
        nhwc = x.contiguous(memory_format=torch.channels_last)
        y = module(nhwc)
        assert y.is_contiguous(memory_format=torch.channels_last)
        assert module(x).is_contiguous()
        torch.testing.assert_close(y, module(x), atol=1e-6, rtol=1e-6)

    def test_the_input_is_left_alone(self):
        x = self.features()
        before = x.clone()
        self.make(ratio=1.0)(x)
        assert torch.equal(x, before)

    @pytest.mark.parametrize("ratio", [0.5, 1.0])
    def test_the_next_layer_may_work_in_place(self, ratio):
        module = self.make(ratio=ratio)
        x = self.features()
        grads = []
        for inplace in (False, True):
            features = (x * 1).requires_grad_()
            nn.functional.relu(module(features * 1), inplace=inplace).square().sum().backward()
            grads.append(features.grad)
        assert torch.equal(*grads)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    @pytest.mark.parametrize("scale", [1, 30000])
    def test_autocast_stays_near_single_precision(self, dtype, scale):
        module = self.make().eval()
        # Halfway to the largest number of float16: a gate of -1 doubles it in the residual.
        x = self.features(size=(6, 6))
        x = (x * scale / x.abs().max()).to(dtype).requires_grad_()
        with torch.autocast("cpu", dtype):
            y = module(x)
        y.float().mean().backward()
        assert y.dtype == dtype
        assert y.isfinite().all()
        assert all(tensor.grad.isfinite().all() for tensor in (x, *module.parameters()))
        if scale == 1:
            expected = module(x.detach().float())
            assert ((y - expected).norm() / expected.norm()).item() < 4 * torch.finfo(dtype).eps

    def test_counting_form_is_equal_and_made_of_plain_modules(self):
        module = self.make().eval()
        form = module.counting_form()
        x = self.features()
        torch.testing.assert_close(form(x), module(x), atol=1e-5, rtol=1e-5)
        plain = (nn.Conv3d, nn.BatchNorm3d, nn.ReLU, nn.Tanh, nn.Conv2d, nn.Sigmoid)
        leaves = [leaf for leaf in form.modules() if not list(leaf.children()) and leaf is not form]
        assert all(isinstance(leaf, plain) for leaf in leaves)
        assert sum(p.numel() for p in form.parameters()) == sum(p.numel() for p in module.parameters())

    def test_a_part_of_a_clip_is_refused_in_one_line(self):
        with pytest.raises(UserError, match=r"multiple of 4 frames, but got 6$"):
            self.make()(self.features(clips=1, frames=6))

    def test_other_channels_are_refused_in_one_line(self):
        with pytest.raises(UserError, match=r"16 channels, but got 8$"):
            self.make()(self.features()[:, :8])

    @pytest.mark.slow
    def test_compiles_as_one_graph_forward_and_backward(self):
        torch.compiler.reset()  # it compiles one function a handful of times, and the suite has many modules
        module = self.make()
        twin = copy.deepcopy(module)
        x = self.features().requires_grad_()
        x_twin = x.detach().clone().requires_grad_()
        y, expected = torch.compile(module, fullgraph=True, backend="aot_eager")(x), twin(x_twin)
        torch.testing.assert_close(y, expected)
        y.square().sum().backward()
        expected.square().sum().backward()
        torch.testing.assert_close(x.grad, x_twin.grad)

"""The law of every network: any size of image, odd ones too, one channel or three; other shapes are refused in words."""

import pytest
import torch

from lambent.errors import UsageError
from lambent.model.networks import Conv, Mlp, Network, ResNet, Transformer
from lambent.model.networks.base import ACTIVATIONS, GAINS, Convolutional
from lambent.model.networks.transformer import Block
from lambent.part import Shape, Spec

SIZES = [(28, 20), (112, 92), (7, 5), (8, 8), (1, 6), (13, 1)]


def through(network: Network, event: Shape, raw: Shape, device: torch.device, batch: int = 2) -> None:
    """Both halves, there and back, with gradients."""
    encoder = network.encoder(event).to(device)
    features = encoder(torch.randn(batch, *event, device=device))
    assert tuple(features.shape[1:]) == encoder.shape
    decoder = network.decoder((5,), raw).to(device)
    out = decoder(torch.randn(batch, 5, device=device))
    assert tuple(out.shape) == (batch, *raw)
    assert decoder.shape == raw
    assert torch.isfinite(features).all()
    assert torch.isfinite(out).all()
    (features.square().sum() + out.square().sum()).backward()
    for half in (encoder, decoder):
        assert all(p.grad is not None for p in half.parameters())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_images_of_any_size(network_spec: Spec, size: tuple[int, int], channels: int, device: torch.device) -> None:
    through(Network.from_spec(network_spec), (channels, *size), (2 * channels, *size), device)


def test_every_field(any_network_spec: Spec, device: torch.device) -> None:
    through(Network.from_spec(any_network_spec), (1, 9, 7), (1, 9, 7), device)


def test_defaults_take_the_usual_images(network_spec: Spec, device: torch.device) -> None:
    network = Network.from_spec(network_spec["type"])
    through(network, (1, 28, 28), (1, 28, 28), device)
    through(network, (3, 32, 32), (30, 32, 32), device)


@pytest.mark.parametrize("event", [(1,), (30,), (6, 5), (1, 6, 5), (2, 3, 2, 2)], ids=str)
def test_rows_of_any_shape_or_a_refusal_in_words(network_spec: Spec, event: Shape, device: torch.device) -> None:
    network = Network.from_spec(network_spec)
    if len(event) == 3 or not network.spatial:
        through(network, event, event, device)
        return
    for half in (lambda: network.encoder(event), lambda: network.decoder((4,), event)):
        with pytest.raises(UsageError, match=rf"{network_spec['type']} is for images.*{len(event)}?.*use the Mlp"):
            half()


def test_more_halvings_than_the_image_has_are_refused() -> None:
    for name in ("Conv", "ResNet"):
        network = Network.from_spec({"type": name, "channels": [4] * 6})
        with pytest.raises(UsageError, match="fewer channels"):
            network.encoder((1, 4, 4))


def test_a_row_does_not_depend_on_the_rows_beside_it(any_network_spec: Spec, device: torch.device) -> None:
    network = Network.from_spec(any_network_spec)
    encoder, decoder = network.encoder((1, 6, 5)).to(device), network.decoder((4,), (1, 6, 5)).to(device)
    for half, shape in ((encoder, (1, 6, 5)), (decoder, (4,))):
        x = torch.randn(5, *shape, device=device)
        torch.testing.assert_close(half(x)[2:3], half(x[2:3]), rtol=1e-4, atol=1e-5)
        half.train()
        trained = half(x)
        half.eval()
        assert torch.equal(half(x), trained), "training and use differ: a statistic of the batch, or dropout"


def test_only_layers_with_an_exact_integer_form(network_spec: Spec) -> None:
    """Nothing divides by a statistic of the data, or the model could not code; a network that does says so."""
    network = Network.from_spec(network_spec)
    if not network.exact:
        assert any(
            "Norm" in type(m).__name__ or isinstance(m, torch.nn.GRU) for m in network.encoder((1, 6, 5)).modules()
        )
        return
    for half in (network.encoder((1, 6, 5)), network.decoder((4,), (1, 6, 5))):
        names = " ".join(type(m).__name__.lower() for m in half.modules())
        assert "norm" not in names
        assert "attention" not in names
        assert not dict(half.named_buffers()), "a buffer that may follow the data"


def test_deep_residual_network_starts_as_the_identity(device: torch.device) -> None:
    """However many blocks: gains of nought stand in for normalization."""
    few, many = (Network.from_spec({"type": "ResNet", "channels": [4], "blocks": n}) for n in (1, 30))
    outputs = []
    for network in (few, many):
        torch.manual_seed(0)
        half = network.encoder((1, 6, 5)).to(device)
        outputs.append(half(torch.ones(2, 1, 6, 5, device=device)).detach().std())
    assert float(outputs[1]) < 10 * float(outputs[0]) + 1.0


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_signal_keeps_its_size(activation: str, device: torch.device) -> None:
    """However deep: what enters with variance one is of about variance one wherever a non-linearity reads it."""
    for spec, event in (
        ({"type": "Mlp", "depth": 6, "width": 256}, (1, 32, 32)),
        ({"type": "Conv", "channels": [16, 32, 64]}, (1, 32, 32)),
        ({"type": "ResNet", "channels": [16, 32], "blocks": 3}, (1, 32, 32)),
    ):
        torch.manual_seed(0)
        network = Network.from_spec({**spec, "activation": activation})
        for half, x in (
            (network.encoder(event), torch.randn(32, *event)),
            (network.decoder((40,), event), torch.randn(32, 40)),
        ):
            x, sizes = x.to(device), []
            for layer in half.to(device):
                if isinstance(layer, tuple(GAINS)):
                    sizes.append(float(x.std()))
                x = layer(x).detach()
            assert all(0.5 < size < 2 for size in sizes), (spec["type"], sizes)


def test_gains_are_those_of_a_standard_normal() -> None:
    z = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    weights = torch.exp(-z.square() / 2) / torch.exp(-z.square() / 2).sum()
    for kind, gain in GAINS.items():
        assert gain == pytest.approx(float((kind()(z).square() * weights).sum()) ** -0.5, rel=1e-4)
    assert set(GAINS) == set(ACTIVATIONS.values())


def test_depth_and_width_count() -> None:
    def count(network: Network) -> int:
        return sum(p.numel() for p in network.encoder((10,)).parameters())

    assert count(Mlp(width=7, depth=3)) == 10 * 7 + 7 + 2 * (7 * 7 + 7)
    assert count(Mlp(width=8, depth=1)) == 10 * 8 + 8


@pytest.mark.parametrize("name", ["Conv", "ResNet"])
def test_every_map_of_a_pyramid_keeps_the_size_of_the_signal(name: str) -> None:
    """√E[silu(z)²] = 0.596 of a standard normal z at every resolution, but for the noughts around an image."""
    torch.manual_seed(0)
    network = Network.from_spec({"type": name, "channels": [64, 64, 64]})
    assert isinstance(network, Convolutional)
    maps = network.pyramid((3, 64, 64))(torch.randn(16, 3, 64, 64))
    assert [float(m.detach()[..., 1:-1, 1:-1].square().mean().sqrt()) for m in maps] == pytest.approx(
        [0.596] * 3, rel=0.15
    )


@pytest.mark.parametrize("network", [Conv((8, 16, 32), width=16), ResNet((8, 16, 32), width=16, blocks=1)])
@pytest.mark.parametrize("event", [(1, 24, 3), (1, 24, 1), (3, 8, 4), (1, 24, 8)])
def test_gradients_of_narrow_pictures_in_bfloat16_are_near_those_of_float32(network: Conv, event: Shape) -> None:
    encoder = network.encoder(event)
    x = torch.rand(16, *event, generator=torch.Generator().manual_seed(0))
    for parameter in encoder.parameters():
        parameter.grad = torch.zeros_like(parameter)
    encoder(x).square().sum().backward()
    exact = [parameter.grad.clone() for parameter in encoder.parameters() if parameter.grad is not None]
    for parameter in encoder.parameters():
        parameter.grad = None
    with torch.autocast("cpu", torch.bfloat16):
        features = encoder(x)
    features.float().square().sum().backward()
    found = [parameter.grad for parameter in encoder.parameters() if parameter.grad is not None]
    apart = [one - other for one, other in zip(found, exact, strict=True)]
    assert float(torch.nn.utils.get_total_norm(apart)) <= 0.1 * float(torch.nn.utils.get_total_norm(exact))


def test_attention_sees_the_whole_image_and_where_it_sees_it(device: torch.device) -> None:
    """A pixel in one corner reaches features of every patch, and two patches that change places give others."""
    torch.manual_seed(0)
    network = Transformer(patch=2, width=12, depth=2, heads=3)
    pyramid = network.pyramid((1, 6, 7)).to(device)
    assert pyramid.shape == [(12, 3, 4)]
    x = torch.randn(1, 1, 6, 7, device=device)
    touched = x.clone()
    touched[..., 0, 0] += 1.0
    assert (pyramid(x)[0] != pyramid(touched)[0]).any(1).all()
    swapped = torch.cat((x[..., :2, :], x[..., 4:, :], x[..., 2:4, :]), -2)
    back = pyramid(swapped)[0][..., [0, 2, 1], :]
    assert not torch.allclose(pyramid(x)[0], back, atol=1e-3)


def test_attention_by_hand(device: torch.device) -> None:
    """x + W softmax(QKᵀ/√d) V of normal x, then the same with the mlp; written out."""
    block = Block(width=4, heads=2, depth=1).double().to(device)
    x = torch.randn(2, 5, 4, dtype=torch.float64, device=device)

    def normal(x: torch.Tensor) -> torch.Tensor:
        return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()

    queries, keys, values = (normal(x) @ block.queries.weight.T).chunk(3, -1)
    heads = []
    for own in (slice(0, 2), slice(2, 4)):
        weights = torch.softmax(queries[..., own] @ keys[..., own].transpose(1, 2) / 2**0.5, -1)
        heads.append(weights @ values[..., own])
    middle = x + torch.cat(heads, -1) @ block.gathered.weight.T
    wide = torch.nn.functional.gelu(normal(middle) @ block.wide.weight.T)
    torch.testing.assert_close(block(x), middle + wide @ block.narrow.weight.T)


def test_deep_attention_keeps_the_size_of_the_signal(device: torch.device) -> None:
    sizes = []
    for depth in (1, 12):
        torch.manual_seed(0)
        layers = [Block(32, 4, depth) for _ in range(depth)]
        x = torch.randn(8, 16, 32)
        for layer in layers:
            x = layer(x).detach()
        sizes.append(float(x.std()))
    assert all(0.8 < size < 2 for size in sizes)


def test_a_decoder_of_patches_starts_near_what_the_data_are() -> None:
    decoder = Transformer(patch=4, width=8, depth=1).decoder((3,), (2, 9, 8))
    plain = torch.tensor([0.5, -2.0]).reshape(2, 1, 1).expand(2, 9, 8)
    before = decoder(torch.zeros(1, 3))[0].detach()
    decoder.start(plain)
    torch.testing.assert_close(decoder(torch.zeros(1, 3))[0].detach() - before, plain)


def test_maps_of_another_size_are_refused() -> None:
    with pytest.raises(UsageError, match=r"decodes maps of 3 × 2, one place a patch, not of 5 × 5"):
        Transformer().decoder((5, 5, 5), (1, 9, 8))

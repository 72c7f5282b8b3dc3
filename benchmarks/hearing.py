"""What hears: a recognizer of words trained on real speech, distances between sounds, and the baseline of Griffin and Lim."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

RATE = 8000
WINDOW, HOP, BANDS = 256, 80, 40  # of the recognizer's log-mel features: 32 ms every 10 ms
QUIET = 1e-5  # power of a band below which the recognizer hears nothing, about −50 dB of full speech
STEPS = 64  # samples between the frames that distances and spectrograms are made of
RANGE = 50.0  # dB below the loudest of a sound, at which its spectrogram ends


def mel_bank() -> Tensor:
    """Triangles on the mel scale from 60 Hz to half the rate, [frequencies, bands]."""
    edges = np.linspace(_mel(60.0), _mel(RATE / 2), BANDS + 2)
    places = _mel(np.linspace(0, RATE / 2, WINDOW // 2 + 1))[:, None]
    rise = (places - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - places) / (edges[2:] - edges[1:-1])
    return torch.from_numpy(np.maximum(0, np.minimum(rise, fall))).float()


def _mel(hertz: float | NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(2595 * np.log10(1 + np.asarray(hertz) / 700))


def spectrum(waves: Tensor, window: int = WINDOW, hop: int = STEPS) -> Tensor:
    """[n, samples] → complex [n, frequencies, frames]."""
    taper = torch.hann_window(window, device=waves.device)
    return torch.stft(waves, window, hop, window=taper, pad_mode="constant", return_complex=True)


class Recognizer(nn.Module):
    """Three layers of convolutions over log-mel features, and the mean over time: which of so many words a sound is."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.register_buffer("bank", mel_bank())
        layers: list[nn.Module] = []
        for inputs, outputs in ((1, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
        self.layers = nn.Sequential(*layers, nn.Dropout(0.3))
        self.last = nn.Linear(64 * (BANDS // 8), words)

    def forward(self, waves: Tensor) -> Tensor:
        power = spectrum(waves, WINDOW, HOP).abs().square()
        mel = (torch.einsum("nft,fb->nbt", power, self.bank) + QUIET).log()
        level, spread = mel.mean((1, 2), keepdim=True), mel.std((1, 2), keepdim=True)
        hidden: Tensor = self.layers(((mel - level) / (spread + 1e-3)).unsqueeze(1))
        told: Tensor = self.last(hidden.mean(-1).flatten(1))
        return told


def recognizer(waves: Tensor, words: Tensor, epochs: int, seed: int) -> Recognizer:
    """Trained on real sounds alone, moved by up to 50 ms, under white noise 5 to 45 dB below them."""
    torch.manual_seed(seed)
    net = Recognizer(int(words.max()) + 1).to(waves.device)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=1e-2)
    steps = -(-len(waves) // 64)
    pace = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * steps)
    for _ in range(epochs):
        for part in torch.randperm(len(waves), device=waves.device).split(64):
            batch = waves[part].roll(int(torch.randint(-400, 401, ())), -1)
            level = batch.std(-1, keepdim=True) * 10 ** (-2 * torch.rand(len(batch), 1, device=batch.device) - 0.25)
            told = net(batch + level * torch.randn_like(batch))
            loss = functional.cross_entropy(told, words[part], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            pace.step()
    return net.eval()


@torch.no_grad()
def heard(net: Recognizer, waves: Tensor) -> Tensor:
    """The likeliest word of each sound, [n]."""
    return torch.cat([net(part).argmax(1) for part in waves.split(256)])


def decibels(waves: Tensor) -> Tensor:
    """Power in dB below the loudest of each sound, [n, frequencies, frames], no lower than −50."""
    power = spectrum(waves).abs().square()
    loudest = power.amax((1, 2), keepdim=True).clamp_min(1e-12)
    return (10 * (power / loudest).clamp_min(1e-12).log10()).clamp_min(-RANGE)


def log_spectral_distance(waves: Tensor, others: Tensor) -> float:
    """Mean over frames and sounds of the root mean square over frequencies, in dB; of spectrograms that end at −50 dB."""
    apart = (decibels(waves) - decibels(others)).square().mean(1).sqrt()
    return float(apart.mean())


def si_sdr(waves: Tensor, others: Tensor) -> float:
    """10 log₁₀ ‖αx‖² / ‖αx − x̂‖², α = ⟨x̂, x⟩/‖x‖², the mean over sounds in dB.

    Le Roux et al., SDR – Half-baked or Well Done?, 2019.
    """
    scale = (waves * others).sum(-1, keepdim=True) / waves.square().sum(-1, keepdim=True).clamp_min(1e-12)
    there, wrong = (scale * waves).square().sum(-1), (scale * waves - others).square().sum(-1)
    return float((10 * (there.clamp_min(1e-12) / wrong.clamp_min(1e-12)).log10()).mean())


def griffin_lim(magnitudes: Tensor, samples: int, rounds: int = 60, seed: int = 0) -> Tensor:
    """Sounds [n, samples] whose spectra come near these magnitudes, from phases at random. Griffin & Lim, 1984."""
    generator = torch.Generator(magnitudes.device).manual_seed(seed)
    turn = 2 * torch.pi * torch.rand(magnitudes.shape, generator=generator, device=magnitudes.device)
    found, taper = torch.polar(magnitudes, turn), torch.hann_window(WINDOW, device=magnitudes.device)
    for _ in range(rounds):
        waves = torch.istft(found, WINDOW, STEPS, window=taper, length=samples)
        found = torch.polar(magnitudes, spectrum(waves).angle())
    return torch.istft(found, WINDOW, STEPS, window=taper, length=samples)


def auroc(usual: NDArray[np.float64], odd: NDArray[np.float64]) -> float:
    """The share of pairs in which the odd one scores higher, ties by half."""
    return float(((odd[:, None] > usual).mean() + (odd[:, None] >= usual).mean()) / 2)


def pictured(waves: Tensor) -> NDArray[np.uint8]:
    """Spectrograms [n, H, W] to look at, low frequencies below, the loudest black."""
    dark = (decibels(waves) / RANGE + 1).flip(1)
    return (255 * (1 - dark)).round().byte().cpu().numpy()

"""Players: sounds with their spectrograms, embedded in the page."""

import base64
from dataclasses import dataclass

from lambent.data.kinds.sound.shown import png
from lambent.tasks.sections import Clip, Heard


@dataclass
class Player:
    """A sound and its spectrogram as data URIs, with the size of the picture in pixels."""

    name: str
    picture: str
    sound: str
    width: int
    height: int

    @classmethod
    def of(cls, clip: Clip) -> "Player":
        """A clip with its bytes in letters."""
        picture, sound = (base64.b64encode(data).decode("ascii") for data in (png(clip.picture), clip.sound))
        height, width = clip.picture.shape[:2]
        return cls(clip.name, f"data:image/png;base64,{picture}", f"data:audio/wav;base64,{sound}", width, height)


@dataclass
class Players:
    """Players in as many columns."""

    players: list[Player]
    columns: int


def encoded(block: Heard) -> Players:
    """All clips, line by line."""
    return Players([Player.of(clip) for line in block.lines for clip in line], max(map(len, block.lines)))

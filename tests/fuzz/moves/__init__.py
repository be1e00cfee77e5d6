"""What random notebooks do, by topic."""

from tests.fuzz.moves.arrays import ARRAYS
from tests.fuzz.moves.containers import CONTAINERS
from tests.fuzz.moves.files import FILES
from tests.fuzz.moves.frames import FRAMES
from tests.fuzz.moves.functions import FUNCTIONS
from tests.fuzz.moves.iterators import GENERATORS, ITERATORS
from tests.fuzz.moves.language import DYNAMIC, SCOPES
from tests.fuzz.moves.objects import OBJECTS
from tests.fuzz.moves.process_state import MODULES, SETTINGS
from tests.fuzz.moves.randomness import RANDOMNESS
from tests.fuzz.moves.topic import Topic

__all__ = ["TOPICS", "Topic"]

TOPICS: tuple[Topic, ...] = (
    CONTAINERS,
    ARRAYS,
    FRAMES,
    FUNCTIONS,
    OBJECTS,
    ITERATORS,
    GENERATORS,
    RANDOMNESS,
    SETTINGS,
    MODULES,
    FILES,
    SCOPES,
    DYNAMIC,
)

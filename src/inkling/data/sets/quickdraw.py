"""Quick, Draw!: fifty million drawings in 345 classes, 28x28; by default nine fruits."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from inkling.data.captions import drawing_groups
from inkling.data.fetch import fetch
from inkling.data.pictures import Dataset
from inkling.data.settings import Options
from inkling.data.source import Item, Source
from inkling.data.sources.strokes import SIDE, read_bitmaps, read_strokes
from inkling.errors import UserError, unknown_name
from inkling.system.cache import cache_folder

_URL = "https://storage.googleapis.com/quickdraw_dataset/full/numpy_bitmap/"
FRUITS = (
    "apple",
    "banana",
    "blackberry",
    "blueberry",
    "grapes",
    "pear",
    "pineapple",
    "strawberry",
    "watermelon",
)
PER_CLASS = 11_000
"""Drawings of a class to train on, where no limit is given."""
_TRAIN_PER_TEST = 10
"""Training drawings for each test drawing: there is no official split."""
_HEADER = 128
"""Largest number of bytes before the first drawing."""

CLASSES = tuple(
    """
aircraft carrier, airplane, alarm clock, ambulance, angel, animal migration, ant, anvil, apple,
arm, asparagus, axe, backpack, banana, bandage, barn, baseball, baseball bat, basket,
basketball, bat, bathtub, beach, bear, beard, bed, bee, belt, bench, bicycle, binoculars, bird,
birthday cake, blackberry, blueberry, book, boomerang, bottlecap, bowtie, bracelet, brain,
bread, bridge, broccoli, broom, bucket, bulldozer, bus, bush, butterfly, cactus, cake,
calculator, calendar, camel, camera, camouflage, campfire, candle, cannon, canoe, car, carrot,
castle, cat, ceiling fan, cello, cell phone, chair, chandelier, church, circle, clarinet, clock,
cloud, coffee cup, compass, computer, cookie, cooler, couch, cow, crab, crayon, crocodile,
crown, cruise ship, cup, diamond, dishwasher, diving board, dog, dolphin, donut, door, dragon,
dresser, drill, drums, duck, dumbbell, ear, elbow, elephant, envelope, eraser, eye, eyeglasses,
face, fan, feather, fence, finger, fire hydrant, fireplace, firetruck, fish, flamingo,
flashlight, flip flops, floor lamp, flower, flying saucer, foot, fork, frog, frying pan, garden,
garden hose, giraffe, goatee, golf club, grapes, grass, guitar, hamburger, hammer, hand, harp,
hat, headphones, hedgehog, helicopter, helmet, hexagon, hockey puck, hockey stick, horse,
hospital, hot air balloon, hot dog, hot tub, hourglass, house, house plant, hurricane, ice
cream, jacket, jail, kangaroo, key, keyboard, knee, knife, ladder, lantern, laptop, leaf, leg,
light bulb, lighter, lighthouse, lightning, line, lion, lipstick, lobster, lollipop, mailbox,
map, marker, matches, megaphone, mermaid, microphone, microwave, monkey, moon, mosquito,
motorbike, mountain, mouse, moustache, mouth, mug, mushroom, nail, necklace, nose, ocean,
octagon, octopus, onion, oven, owl, paintbrush, paint can, palm tree, panda, pants, paper clip,
parachute, parrot, passport, peanut, pear, peas, pencil, penguin, piano, pickup truck, picture
frame, pig, pillow, pineapple, pizza, pliers, police car, pond, pool, popsicle, postcard,
potato, power outlet, purse, rabbit, raccoon, radio, rain, rainbow, rake, remote control,
rhinoceros, rifle, river, roller coaster, rollerskates, sailboat, sandwich, saw, saxophone,
school bus, scissors, scorpion, screwdriver, sea turtle, see saw, shark, sheep, shoe, shorts,
shovel, sink, skateboard, skull, skyscraper, sleeping bag, smiley face, snail, snake, snorkel,
snowflake, snowman, soccer ball, sock, speedboat, spider, spoon, spreadsheet, square, squiggle,
squirrel, stairs, star, steak, stereo, stethoscope, stitches, stop sign, stove, strawberry,
streetlight, string bean, submarine, suitcase, sun, swan, sweater, swing set, sword, syringe,
table, teapot, teddy-bear, telephone, television, tennis racquet, tent, The Eiffel Tower, The
Great Wall of China, The Mona Lisa, tiger, toaster, toe, toilet, tooth, toothbrush, toothpaste,
tornado, tractor, traffic light, train, tree, triangle, trombone, truck, trumpet, t-shirt,
umbrella, underwear, van, vase, violin, washing machine, watermelon, waterslide, whale, wheel,
windmill, wine bottle, wine glass, wristwatch, yoga, zebra, zigzag
""".replace("\n", " ")
    .strip()
    .split(", ")
)
"""The 345 classes, by the publisher's names."""


def is_named(file: str) -> bool:
    """Whether a file has one of the publisher's names."""
    stem = Path(file).stem.removeprefix("full_simplified_").removeprefix("full_numpy_bitmap_")
    return stem.replace("_", " ") in CLASSES


def _file(folder: Path, name: str) -> Path | None:
    """The file of a class in a folder, under one of the publisher's file names."""
    stems = (name, name.replace(" ", "_"), f"full_simplified_{name}", f"full_numpy_bitmap_{name}")
    candidates = [folder / f"{stem}{end}" for stem in stems for end in (".npy", ".ndjson")]
    return next((path for path in candidates if path.is_file()), None)


def _download(name: str, most: int) -> Path:
    """The beginning of the bitmap file of a class: as much of its 100 MB or so as is needed."""
    file = cache_folder() / "quickdraw" / f"{name}-{most}.npy"
    return fetch(
        f"{_URL}{name.replace(' ', '%20')}.npy",
        file,
        first=_HEADER + most * SIDE * SIDE,
        instead=f"or put {name}.npy into a folder and name it with --data",
    )


def _classes(folder: Path | None, chosen: tuple[str, ...]) -> tuple[str, ...]:
    """The chosen classes, or else those in the folder, or else the nine fruits."""
    for name in chosen:
        if name not in CLASSES:
            raise UserError(unknown_name(name, CLASSES, "Quick, Draw! class"))
    if chosen or folder is None:
        return chosen or FRUITS
    found = tuple(name for name in CLASSES if _file(folder, name))
    if not found:
        raise UserError(
            f"{folder} holds no Quick, Draw! files; put apple.npy (bitmaps) or apple.ndjson "
            "(simplified strokes) there, or any of the 345 classes"
        )
    return found


def find(folder: Path | None, split: str, options: Options) -> Source:
    """Drawings of the chosen classes: of each, the first for training and the next for testing.

    Raises:
        UserError: there is no such class, its file is missing, or the download failed.
    """
    names = _classes(folder, options.classes)
    limit = options.limit or PER_CLASS
    most = limit + max(1, limit // _TRAIN_PER_TEST)
    files = []
    for name in names:
        file = _download(name, most) if folder is None else _file(folder, name)
        if file is None:
            raise UserError(f"{folder} holds no {name}.npy nor {name}.ndjson; put it there")
        files.append(file)
    problems: list[str] = []

    def drawings(file: Path, label: int) -> tuple[int, Iterator[Item]]:
        if file.suffix == ".ndjson":
            with file.open("rb") as lines:
                count = min(sum(1 for line in lines if line.strip()), most)
            return count, read_strokes(file, label, options.size or SIDE, problems)
        images = read_bitmaps(file, most)
        rows = (Item(f"{file.name} row {i}", image, (), label) for i, image in enumerate(images))
        return len(images), rows

    def items() -> Iterator[Item]:
        problems.clear()
        for label, file in enumerate(files):
            count, found = drawings(file, label)
            cut = count * _TRAIN_PER_TEST // (_TRAIN_PER_TEST + 1)
            yield from islice(found, 0, cut) if split == "train" else islice(found, cut, count)

    return Source(
        items,
        None,
        files,
        stamp=f"{split} {limit}",
        classes=names,
        problems=problems,
        **drawing_groups(names),
    )


QUICKDRAW = Dataset(
    title="Quick, Draw!, drawings in 345 classes, grey, 28x28",
    find=find,
    licence="CC BY 4.0",
    citation="Ha & Eck 2017, A Neural Representation of Sketch Drawings",
    channels=1,
    background=0,
)

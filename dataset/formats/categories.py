"""The 30 categories of ImageNet VID."""

NAMES = {
    "n01503061": "bird",
    "n01662784": "turtle",
    "n01674464": "lizard",
    "n01726692": "snake",
    "n02062744": "whale",
    "n02084071": "dog",
    "n02118333": "fox",
    "n02121808": "domestic cat",
    "n02129165": "lion",
    "n02129604": "tiger",
    "n02131653": "bear",
    "n02324045": "rabbit",
    "n02342885": "hamster",
    "n02355227": "squirrel",
    "n02374451": "horse",
    "n02391049": "zebra",
    "n02402425": "cattle",
    "n02411705": "sheep",
    "n02419796": "antelope",
    "n02484322": "monkey",
    "n02503517": "elephant",
    "n02509815": "red panda",
    "n02510455": "giant panda",
    "n02691156": "airplane",
    "n02834778": "bicycle",
    "n02924116": "bus",
    "n02958343": "car",
    "n03790512": "motorcycle",
    "n04468005": "train",
    "n04530566": "watercraft",
}


def readable(category: str) -> str:
    """A WordNet id, followed by its name if it is one of the 30 categories."""
    return f"{category} {NAMES[category]}" if category in NAMES else category

"""Cameras in the file names of person re-identification data sets."""

import re

# Group 1 is the camera. The pattern may match anywhere in a name: other tools may have extended the names.
CAMERA_IN_NAME: dict[str, re.Pattern[str]] = {
    "market1501": re.compile(r"_c([0-9]+)s[0-9]+_"),  # 0001_c1s1_001051_00.jpg
    "duke": re.compile(r"_c([0-9]+)_"),  # 0001_c2_f0046182.jpg
    "mars": re.compile(r"C([0-9]+)T[0-9]+F[0-9]+"),  # 0001C1T0001F001.jpg
}

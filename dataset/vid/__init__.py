"""ImageNet VID: annotations, object crops, training lists and episodes. synthetic/ renders videos of the same form.

>>> from dataset.vid.siamfc_crops import CropSettings
>>> window = CropSettings().window((100, 100, 160, 140))  # the square to cut out around a box of 60 x 40 pixels
>>> [round(side) for side in window]
[80, 70, 180, 170]
"""

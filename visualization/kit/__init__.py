"""Parts of all pictures and pages: page templates, colours, names, thumbnails, plots, cards of images.

>>> from runtime.printable import parts_of, shorten
>>> parts_of("val/video_7/000001.03.crop.x.jpg")  # a line may end between these
['val/', 'video_7/', '000001.03', '.crop.x', '.jpg']
>>> shorten("ILSVRC2015_val_00007010", 12, head=3)
'ILS…00007010'
"""

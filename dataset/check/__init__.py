"""Looks for what harms a training or an evaluation: in the images of a data set, and in its lists.

`python -m dataset.check FOLDER` prints a report. A check is a function of the contents of a data set that returns
findings; `__main__` calls all of them.

>>> from dataset.check.finding import Finding
>>> Finding("names", "names that look the same", ["'ann', 'ann '"], harms=True).lines()
['PROBLEM: names that look the same: 1', "    'ann', 'ann '"]
"""

"""Kinds of evaluation sets, one module each. A module defines

    MAIN                                        its main metric; results with this metric are shown in its tables
    PICTURES                                    its pictures in TensorBoard: some of "rankings", "distances" and
                                                "projector"; visualize.py shows sets with "rankings"
    find(folder) -> {name: CSV files}           the sets of this kind in a prepared data set
    load(found, prepared, params) -> ReadySet   one of these sets, read and checked
    tables(names) -> [(title, columns)]         tables of results for sets of these names; columns are
                                                {heading: (set, metrics of the cell, in %)}

>>> from model.evaluation.sets import load_kinds
>>> {name: kind.MAIN for name, kind in load_kinds().items()}
{'episodes': 'general_accuracy', 'query_gallery': 'map', 'all_vs_all': 'map'}
"""

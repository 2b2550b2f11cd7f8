"""Kinds of evaluation sets, one module each.

A module here is one kind. It defines

    MAIN                                        its most telling metric; results that have it are shown in its tables
    PICTURES                                    which pictures TensorBoard shows of such a set: of "rankings",
                                                "distances" and "projector"; visualize.py shows sets with "rankings"
    find(folder) -> {name: CSV files}           its sets in the folder of a prepared data set
    load(found, prepared, params) -> ReadySet   one of them, read and checked, ready to compute its metrics
    tables(names) -> [(title, columns)]         the tables of results that show sets of these names; columns are
                                                {heading: (set, its metrics in a cell, shown in %)}
"""

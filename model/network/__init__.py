"""Networks from images to embeddings: a backbone and a head.

>>> from model.configuration.params import Params
>>> from model.network.build import build_embedder
>>> params = Params(dataset="photos", model_type="basic", image_size=32, embedding_size=8)
>>> build_embedder(params).output_shape
(None, 8)
"""

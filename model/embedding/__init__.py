"""Images to embeddings: in Python (`model.load`), and in files, with test-time augmentation, shards and resuming.

>>> from model.embedding.views import TestTimeAugmentation
>>> TestTimeAugmentation(crops="center", flip=True).names
('crop_center', 'crop_center_flip')
"""

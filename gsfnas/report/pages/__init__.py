"""Pages lay out what the sections return: ``html`` and ``markdown`` for a study, ``ablation`` for a published table."""

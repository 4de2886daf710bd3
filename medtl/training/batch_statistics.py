"""A site's own batch statistics: `medtl.models.batch_statistics`, which methods use too."""

from medtl.models.batch_statistics import for_site, with_statistics_of

__all__ = ["for_site", "with_statistics_of"]

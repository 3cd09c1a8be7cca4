"""The paper's protocol on the ISIC 2017 images: all methods, all seeds, tables, figures and the page of results."""

from benchmarks import arithmetic as arithmetic  # limits torch, so it comes before all modules that import torch

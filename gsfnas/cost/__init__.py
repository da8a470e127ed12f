"""The cost of a candidate: parameters, operations and activations in closed form; memory and latency measured."""

from gsfnas.cost._convention import Counted, count_operations, fused_activations
from gsfnas.cost._count import Count, count_fvcore, count_ptflops
from gsfnas.cost._latency import measure_latency
from gsfnas.cost._latency_table import LatencyEstimate, LatencyTable
from gsfnas.cost._memory import peak_inference_bytes, saved_bytes
from gsfnas.cost._price import Cost, Pricer, price

__all__ = [
    "Cost",
    "Count",
    "Counted",
    "LatencyEstimate",
    "LatencyTable",
    "Pricer",
    "count_fvcore",
    "count_operations",
    "count_ptflops",
    "fused_activations",
    "measure_latency",
    "peak_inference_bytes",
    "price",
    "saved_bytes",
]

"""Small clusters on this machine, whose workers can be killed: two nodes of Ray, two workers of Dask."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path

import joblib

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join([str(ROOT), str(ROOT / "plugins" / "baselines")])


@contextmanager
def ray_cluster(environment):
    """Run two nodes of Ray with one CPU each, and yield a function that kills the second one."""
    import ray
    from ray.cluster_utils import Cluster
    from ray.util.joblib import register_ray

    patience = {"RAY_raylet_start_wait_time_s": "180", "RAY_agent_register_timeout_ms": "300000"}  # of a busy machine
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", **patience)
    cluster = Cluster()
    store = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster.add_node(**store)
    second = cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    variables = {"PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1", **environment}
    ray.init(address=cluster.address, runtime_env={"env_vars": variables}, log_to_driver=False, logging_level="ERROR")
    register_ray()
    try:
        with joblib.parallel_config("ray", n_jobs=2):
            yield lambda: cluster.remove_node(second, allow_graceful=False)
    finally:
        ray.shutdown()
        cluster.shutdown()


@contextmanager
def dask_cluster(environment):
    """Run two workers of Dask, and yield a function that kills one, which is not started again."""
    import dask
    from distributed import Client, LocalCluster

    variables = {"PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1", **environment}
    size = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "memory_limit": 0}
    with (
        dask.config.set({"distributed.nanny.environ": variables}),
        LocalCluster(**size, env=variables) as cluster,
        Client(cluster),
        joblib.parallel_config("dask"),
    ):
        os.environ.update(environment)

        def kill():
            worker = cluster.workers[0]
            worker.auto_restart = False
            os.kill(worker.process.process.pid, 9)

        yield kill


CLUSTERS = {"ray": ray_cluster, "dask": dask_cluster}

# The run, resolved once: configuration in, paths, parameters and resources of every rule out.
import sys

sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "scripts"))

from evalpack.workflow import WorkflowRun

RUN = WorkflowRun.from_snakemake(workflow, config)


wildcard_constraints:
    slug="[A-Za-z0-9._-]+",
    i="[1-9][0-9]*",
    n="[1-9][0-9]*",

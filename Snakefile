# evalpack: many language models, one sample set, every GPU generating. README.md says how to use it.
from snakemake.utils import min_version

min_version("9.27")


configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/stage.smk"
include: "workflow/rules/pilot.smk"
include: "workflow/rules/generate.smk"
include: "workflow/rules/merge.smk"
include: "workflow/rules/parse.smk"
include: "workflow/rules/collect.smk"


# On a cluster, what needs no GPU runs where Snakemake does: shorter than the queue, and stage has internet.
localrules:
    all,
    collect,
    merge,
    parse,
    pilot,
    prepare,
    quality_gate,
    stage,
    stage_weights,


rule all:
    default_target: True
    input:
        RUN.quality,
        rules.collect.output,
        RUN.all_responses,


onstart:
    RUN.start()


onsuccess:
    RUN.finish()


onerror:
    RUN.finish()

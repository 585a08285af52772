# In: the hub or a local folder. Out: weights/<slug>.json, which says what the files are.
# Generating waits for it only where files must be fetched.


rule stage:
    input:
        RUN.all_weights,


rule stage_weights:
    output:
        RUN.results("weights/{slug}.json"),
    log:
        RUN.log("stage/{slug}.log"),
    priority: lambda wildcards: RUN.jobs[wildcards.slug].priority
    conda:
        RUN.environment
    resources:
        download=1,
    params:
        revision=lambda wildcards: RUN.revisions[wildcards.slug],
    script:
        "../scripts/stage.py"

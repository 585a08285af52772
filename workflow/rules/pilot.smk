# In: samples.parquet and a model. Out: what a few of its answers tell of its speed and their lengths. The
# answers are in the journal, and generating finds them there. `evalpack pilot` asks for these files.


rule pilot:
    input:
        RUN.all_pilots,


rule pilot_model:
    input:
        samples=RUN.results("samples.parquet"),
        weights=lambda wildcards: RUN.weights_to_wait_for[wildcards.slug],
    output:
        RUN.results("pilot/{slug}.json"),
    log:
        RUN.log("pilot/{slug}.log"),
    priority: lambda wildcards: RUN.jobs[wildcards.slug].priority
    conda:
        RUN.environment
    threads: lambda wildcards: RUN.threads[wildcards.slug]
    resources:
        gpu=lambda wildcards: RUN.jobs[wildcards.slug].gpus,
    params:
        settings=lambda wildcards: RUN.settings[wildcards.slug],
        answers=RUN.pilot_answers,
    script:
        "../scripts/pilot.py"

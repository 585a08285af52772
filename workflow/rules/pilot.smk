# In: samples.parquet and a model. Out: what a few of its answers tell of its speed and their lengths. The
# answers are in the journal, and generating finds them there. `evalpack pilot` asks for these files.


rule pilot:
    input:
        RUN.all_pilots,


rule pilot_model:
    input:
        samples=RUN.results("samples.parquet"),
        weights=RUN.weights_to_wait_for,
    output:
        RUN.results("pilot/{slug}.json"),
    log:
        RUN.log("pilot/{slug}.log"),
    priority: RUN.priorities
    conda:
        RUN.environment
    threads: RUN.threads
    resources:
        gpu=RUN.gpus,
        runtime=RUN.runtimes,
    params:
        settings=RUN.settings,
        answers=RUN.pilot_answers,
    script:
        "../scripts/pilot.py"

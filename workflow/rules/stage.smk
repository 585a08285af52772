# In: the hub or a local folder. Out: weights/<slug>.json, which says what the files are.
# Generating waits for it only where files must be fetched.


rule stage:
    input:
        weights=RUN.all_weights,
    log:
        RUN.log("stage.log"),
    retries: 0
    conda:
        RUN.environment
    script:
        "../scripts/check_stage.py"


rule stage_weights:
    output:
        RUN.results("weights/{slug}.json"),
    log:
        RUN.log("stage/{slug}.log"),
    priority: RUN.priorities
    conda:
        RUN.environment
    resources:
        download=1,
    params:
        revision=RUN.revisions,
        attempt=RUN.staging_attempts,
    script:
        "../scripts/stage.py"

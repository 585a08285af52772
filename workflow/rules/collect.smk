# In: all models' response records. Out: the judge-ready files; then the quality gate, which names the
# models that answered too little and makes the next run try them again.


rule collect:
    input:
        responses=RUN.all_responses,
        report=RUN.results("samples.json"),
        rubric=RUN.config.raw["judge"]["rubric"],
    output:
        responses=RUN.results("judge_ready/responses.parquet"),
        integration=RUN.integration,
        requests=RUN.results("judge_ready/judge_requests.jsonl"),
        request_map=RUN.results("judge_ready/judge_requests_map.jsonl"),
        metadata=RUN.metadata,
    log:
        RUN.log("collect.log"),
    retries: 0
    conda:
        RUN.environment
    params:
        models=list(RUN.jobs),
        conditions=RUN.conditions,
        judge=RUN.config.raw["judge"],
        rubric=RUN.rubric_state,
    script:
        "../scripts/collect.py"


rule quality_gate:
    input:
        metadata=RUN.metadata,
    output:
        RUN.quality,
    log:
        RUN.log("quality_gate.log"),
    retries: 0
    conda:
        RUN.environment
    params:
        min_success_rate=RUN.config.raw["quality"]["min_success_rate"],
    script:
        "../scripts/quality_gate.py"

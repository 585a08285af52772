# In: the samples file, in any form. Out: samples.parquet, checked row by row, and a count of every row.


rule prepare:
    input:
        samples=RUN.config.raw["samples"]["path"],
        template=RUN.sample_template,
    output:
        samples=RUN.results("samples.parquet"),
        report=RUN.results("samples.json"),
    log:
        RUN.log("prepare.log"),
    retries: 0
    conda:
        RUN.environment
    params:
        **RUN.sample_settings,
    script:
        "../scripts/prepare.py"

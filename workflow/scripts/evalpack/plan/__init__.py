"""Planning: what fits where, in how many shards, in what order."""

from evalpack.plan.plan import Hardware, ModelPlan, Plan, make_plan

__all__ = ["Hardware", "ModelPlan", "Plan", "make_plan"]

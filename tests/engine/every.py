"""Random models of every family, of sizes that tests can afford."""

from __future__ import annotations

from typing import Any

import torch
from tests.engine.tiny import VOCABULARY
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

TOKENS: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
NAMED: dict[str, Any] = {
    **TOKENS,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
GROUPED: dict[str, Any] = {**NAMED, "num_key_value_heads": 2}
N: dict[str, Any] = {**TOKENS, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
FALCON: dict[str, Any] = {**NAMED, "alibi": False, "bias": False}
EXPERTS: dict[str, Any] = {**GROUPED, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
LATENT: dict[str, Any] = {
    **EXPERTS,
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "topk_group": 1,
}
GEMMA: dict[str, Any] = {
    **GROUPED,
    "head_dim": 16,
    "hidden_activation": "gelu_pytorch_tanh",
    "sliding_window": 4,
}

ALONE: dict[str, dict[str, Any]] = {
    "cohere": {**GROUPED, "logit_scale": 0.5},
    "cohere2": {**GROUPED, "logit_scale": 0.5, "sliding_window": 4},
    "falcon 7B": {**FALCON, "multi_query": True},
    "falcon 40B": {**FALCON, "new_decoder_architecture": True, "num_kv_heads": 2},
    "gemma": {**GEMMA, "num_key_value_heads": 1},
    "gemma2": {**GEMMA, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 5.0},
    "gemma3_text": {**GEMMA, "layer_types": ["sliding_attention", "full_attention"]},
    "glm": {**GROUPED, "head_dim": 8},
    "glm4": {**GROUPED, "head_dim": 8},
    "gpt2": N,
    "gpt_bigcode": N,
    "gpt_neox": {**NAMED, "use_parallel_residual": True},
    "gpt_neox in sequence": {**NAMED, "use_parallel_residual": False},
    "granite": {**GROUPED, "residual_multiplier": 0.5, "logits_scaling": 2.0, "attention_multiplier": 0.3},
    "llama": {**GROUPED, "attention_bias": True, "mlp_bias": True},
    "mistral": {**GROUPED, "sliding_window": 4},
    "mixtral": {**GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2},
    "nemotron": {**GROUPED, "head_dim": 8},
    "olmo": GROUPED,
    "olmo2": GROUPED,
    "olmo3": {**GROUPED, "sliding_window": 4},
    "phi": {**NAMED, "partial_rotary_factor": 0.5},
    "phi3": {**GROUPED, "sliding_window": 4},
    "qwen2": GROUPED,
    "qwen2_moe": {**EXPERTS, "num_experts": 4, "shared_expert_intermediate_size": 32},
    "qwen3": {**GROUPED, "head_dim": 16},
    "qwen3_moe": {**EXPERTS, "num_experts": 4, "head_dim": 16},
    "stablelm": {**GROUPED, "use_qkv_bias": True},
    "starcoder2": {**GROUPED, "sliding_window": None},
}
"""Of these single heads attend as the layer does."""
WHOLE: dict[str, dict[str, Any]] = {
    "bloom": {**TOKENS, "hidden_size": 32, "n_layer": 2, "n_head": 4},
    "codegen": {**N, "rotary_dim": 4},
    "deepseek_v2": {**LATENT, "q_lora_rank": None, "n_group": 1, "topk_method": "greedy"},
    "deepseek_v3": {**LATENT, "q_lora_rank": 16, "n_group": 2},
    "falcon with ALiBi": {**FALCON, "multi_query": False, "parallel_attn": False, "alibi": True},
    "gpt_neo": {
        **TOKENS,
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 4,
        "max_position_embeddings": 64,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 5,
    },
    "gpt_oss": {
        **GROUPED,
        "head_dim": 16,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "sliding_window": 4,
    },
    "gptj": {**N, "rotary_dim": 4},
    "mpt": {**TOKENS, "d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 64},
    "olmo with clipping": {**GROUPED, "clip_qkv": 0.5},
    "opt": {**NAMED, "ffn_dim": 64, "word_embed_proj_dim": 32, "pad_token_id": 1},
    "phi with norms": {**NAMED, "qk_layernorm": True},
    "smollm3": {**GROUPED, "no_rope_layer_interval": 2},
    "stablelm in parallel": {**GROUPED, "use_parallel_residual": True, "qk_layernorm": True},
}
"""Of these they do not, so that the model runs as a whole."""


def module_of(name: str, **changes: Any) -> Any:
    """A random module in float64, with weights large enough for every edge to matter."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(name.split()[0], **{**{**ALONE, **WHOLE}[name], **changes})
    make: Any = AutoModelForCausalLM.from_config
    module = make(config, dtype=torch.float64).eval().requires_grad_(False)
    if hasattr(module, "set_experts_implementation"):
        module.set_experts_implementation("eager")
    embeddings = {id(each.weight) for each in module.modules() if isinstance(each, nn.Embedding)}
    for weight in module.parameters():
        drawn = torch.randn(weight.shape)
        if id(weight) in embeddings:
            weight.copy_(0.5 * drawn)
        else:
            weight.copy_(1.2 * weight.shape[-1] ** -0.5 * drawn if weight.ndim > 1 else weight + 0.3 * drawn)
    return module

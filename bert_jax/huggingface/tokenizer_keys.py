"""The keys of Hugging Face's tokenizer_config.json and special_tokens_map.json."""

from bert_jax.data import roles, vocabulary
from bert_jax.huggingface.keys import CODE, Keys, Only

SWITCHES = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
ROLES = {f"{role}_token": role for role in roles.NAMES}
MORE = ("additional_special_tokens", "extra_special_tokens")
UNUSUAL = "give a tokenizer.json of the parts of BERT's"
# Classes of tokenizers that do as their tokenizer.json says, by its model.
ANY = ("PreTrainedTokenizerFast", "TokenizersBackend")
CLASSES = {
    model: (
        *(f"{name}Tokenizer{fast}" for name in names for fast in ("", "Fast")),
        *ANY,
    )
    for model, names in (
        ("WordPiece", ("Bert", "Electra", "DistilBert")),
        ("BPE", ("Roberta", "GPT2")),
        ("Unigram", ("Albert", "XLMRoberta", "Camembert")),
    )
}
ONLY = {
    "tokenizer_class": Only(
        tuple(dict.fromkeys(name for names in CLASSES.values() for name in names)),
        "save its tokenizer as one of these",
    ),
    "auto_map": CODE,
    "do_basic_tokenize": Only((True,), UNUSUAL),
    "do_word_tokenize": Only((True,), UNUSUAL),
    "do_subword_tokenize": Only((True,), UNUSUAL),
    "word_tokenizer_type": Only(("basic",), UNUSUAL),
    "subword_tokenizer_type": Only(("wordpiece",), UNUSUAL),
    "never_split": Only((), "name such tokens in additional_special_tokens"),
    "mecab_kwargs": Only((), UNUSUAL),
    "sudachi_kwargs": Only((), UNUSUAL),
    "jumanpp_kwargs": Only((), UNUSUAL),
    "wordpieces_prefix": Only((vocabulary.PREFIX,)),
    "clean_text": Only((True,), "give a tokenizer.json, which can say so"),
    "split_special_tokens": Only((False,)),
    "remove_space": Only((True,)),
    "errors": Only(("replace",)),
    "add_bos_token": Only((False,)),
    "add_eos_token": Only((False,)),
    "padding_side": Only(("right",)),
    "truncation_side": Only(("right",)),
    "init_inputs": Only(()),
    "fast_tokenizer_files": Only(()),
    "model_specific_special_tokens": Only(()),
}
IDLE = """
    _commit_hash _name_or_path backend chat_template clean_up_tokenization_spaces
    device_map files_loaded from_slow full_tokenizer_file is_local language
    local_files_only max_length merges_file model_type name_or_path pad_to_multiple_of
    pad_token_type_id padding processor_class return_tensors slow_tokenizer_class
    sp_model_kwargs special_tokens_map_file spm_file stride tokenizer_file tokenizer_type truncation
    trim_offsets truncation_strategy trust_remote_code use_fast verbose vocab_file
"""
KEYS = Keys(
    used=frozenset(
        [*SWITCHES, *ROLES, *MORE, "added_tokens_decoder", "bos_token", "eos_token"]
        + ["add_prefix_space", "keep_accents"]
        + ["max_len", "model_input_names", "model_max_length"]
    ),
    only=ONLY,
    idle=frozenset(IDLE.split()),
)
# What was true of their files alone, and what tokenizer.json holds.
NOT_KEPT = {"_commit_hash", "_name_or_path", "name_or_path", "tokenizer_file"}
NOT_KEPT |= {"special_tokens_map_file", "vocab_file", "merges_file", "spm_file"}
NOT_KEPT |= {"added_tokens_decoder", *ROLES, *MORE}

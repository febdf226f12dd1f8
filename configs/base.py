"""Every key there is, once. A variant imports this and states what differs.

Values here are those of the original BERT (Devlin et al. 2019, section 3.1 and
appendix A.2) where it has one. "" means none, 0 means off where the comment says so.
"""

from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.seed = 0  # names every random stream: init, data order, masks, dropout
    config.init_from = ""  # a run, or RUN/checkpoints/STEP: start from its parameters
    config.init_leave = ""  # a regex over encoder, pooler, ...: what it does not give
    config.init_state = False  # also its optimiser's state and step: training goes on

    config.data = ConfigDict()
    config.data.corpus = "news"  # news | files | tfds
    config.data.files = ""  # corpus=files: paths, folders and globs, comma-separated
    config.data.documents = "file"  # file | blank_line | auto: what one document is
    config.data.encoding = "utf-8"  # of text files
    config.data.text_field = "text"  # of .jsonl objects and of TFDS examples
    config.data.tfds_name = ""  # corpus=tfds: "wikipedia/20230601.en"
    config.data.tfds_split = "train"
    config.data.tfds_dir = ""  # "" is TFDS's own default
    config.data.valid_share = 0.05  # of the documents, held out whole; at least two
    config.data.cache = "data_cache"  # where prepared stores live
    config.data.pairs = "nsp"  # nsp | sop | single | full
    config.data.length = 128  # tokens of one example, special tokens included
    config.data.copies = 0  # 0: new pairs every epoch; k: k versions in turn
    config.data.prefetch = 4  # batches assembled ahead of the step

    config.task = ConfigDict()  # labelled data: what fine-tuning reads besides `data`
    config.task.format = (
        "tsv"  # tsv | csv | jsonl | conll | squad | folders | news | tfds
    )
    config.task.train = ""  # a file or folder; with news or tfds a split: "train[:90%]"
    config.task.valid = ""  # "" holds out data.valid_share of train
    config.task.test = ""  # "" is none; evaluated once, at the end
    config.task.tfds_name = ""  # format=tfds: "glue/sst2"
    config.task.encoding = "utf-8"
    config.task.separator = (
        ""  # one character; "" is a tab, of csv "," and of conll " "
    )
    config.task.header = True  # whether the first row of tsv and csv names the columns
    config.task.text = (
        "text"  # a column, by name or number from 0; or a key, or a field
    )
    config.task.pair = ""  # that of a second text
    config.task.choices = ""  # choose: the key of a list, or of each, comma-separated
    config.task.label = "label"
    config.task.comment = ""  # conll: skip lines that begin so
    config.task.labels = ""  # in their order, comma-separated; "" sorts those of train
    config.task.class_weights = ""  # of classify: balanced, or a number a label
    config.task.per_label = 0  # of train, at most so many examples a label; 0 takes all
    config.task.metric = ""  # the one that decides; "" is the first of its kind's
    config.task.no_answer = False  # span: questions may have none (SQuAD 2.0)
    config.task.max_question = 64  # tokens of a question
    config.task.stride = 128  # tokens of the context that two windows share
    config.task.max_answer = 30  # tokens of an answer

    config.tokenizer = ConfigDict()
    config.tokenizer.path = ""  # a vocab.txt or tokenizer.json; "" trains on the corpus
    config.tokenizer.model = "wordpiece"  # wordpiece | byte_bpe, when trained
    config.tokenizer.vocab_size = 30522  # at most this many, when trained
    config.tokenizer.lowercase = True
    config.tokenizer.strip_accents = "auto"  # auto (as lowercase) | always | never

    config.model = ConfigDict()  # the fields of models.encoder.EncoderConfig
    config.model.vocab_size = 0  # V, rows of the token table; 0 takes the tokenizer's
    config.model.num_layers = 12  # L
    config.model.model_dim = 768  # D
    config.model.embed_dim = 0  # E, of the tables, projected to D; 0 is D
    config.model.num_heads = 12  # N; the head dimension is D / N
    config.model.mlp_dim = 3072  # F
    config.model.max_length = 512  # rows of the position table
    config.model.num_types = 2  # of segments: 1: A and B are alike; 0: no table
    config.model.norm = "post"  # post | pre | pre_embed (ModernBERT) | pre_rms
    config.model.norm_epsilon = 1e-12
    config.model.bias = "all"  # all | norms | none: of dense layers and norms
    config.model.share = "none"  # none | all | attention | mlp: one for all layers
    config.model.positions = "learned"  # learned | sinusoidal | rotary | alibi | none
    config.model.rotary_base = 10_000.0  # of rotary layers without a window
    config.model.attention = "bidirectional"  # bidirectional | causal
    config.model.window = 0  # W: but each third layer sees W // 2 tokens each way
    # gelu (erf) | gelu_tanh | relu | geglu | geglu_tanh | swiglu; of a glu F is the
    config.model.activation = "gelu"  # width after the gate
    config.model.dropout = 0.1
    config.model.attention_dropout = 0.1
    config.model.init_stddev = 0.02
    config.model.dtype = (
        "float32"  # float32 | bfloat16: of the compute, never parameters
    )
    config.model.remat = "none"  # none | dots | full: what the backward pass recomputes

    config.objective = ConfigDict()
    # mlm | clm, or with labelled data classify | multilabel | regress | tag | span | choose
    config.objective.kind = "mlm"
    config.objective.layers = "last"  # last | last_4 | a number: what task heads read
    config.objective.head = "transform"  # transform | plain (GPT-2): of the LM
    # tanh | gelu | relu | head (ModernBERT's dense, activation, norm)
    config.objective.pooler = "tanh"
    config.objective.pool = "pooler"  # pooler | first | last | mean: of the tokens
    config.objective.pair = "nsp"  # nsp | sop | none: the second loss of mlm
    config.objective.pair_weight = 1.0  # what it counts beside the first
    config.objective.mask_unit = "token"  # token | word
    config.objective.mask_rate = 0.15
    config.objective.mask_token_share = 0.8  # of the predicted: replaced by [MASK]
    config.objective.mask_random_share = 0.1  # ... by a random token; the rest stay
    config.objective.mask_copies = 0  # 0: new masks every epoch; k: k masks in turn
    config.objective.eval_mask_rate = 0.15  # of validation, whatever the training rate

    config.optim = ConfigDict()
    config.optim.name = "adamw"  # adamw | lamb
    config.optim.learning_rate = 1e-4
    config.optim.schedule = "linear"  # linear | cosine | constant, after the warm-up
    config.optim.warmup_steps = 10_000
    config.optim.warmup_share = 0.0  # of all steps, in place of warmup_steps; 0 is off
    config.optim.end_share = 0.0  # of the peak rate, left at the last step
    config.optim.decay_from = "start"  # start (BERT) | warmup_end (Hugging Face)
    config.optim.beta1 = 0.9
    config.optim.beta2 = 0.999
    config.optim.epsilon = 1e-6
    config.optim.bias_correction = True  # False only for the original recipe
    config.optim.weight_decay = 0.01
    config.optim.no_decay = r"(scale|bias)$"  # a regex over parameter paths
    config.optim.freeze = ""  # a regex over parameter paths; "" freezes nothing
    config.optim.layer_decay = 1.0  # of the rate, from each layer to the one below it
    config.optim.clip_norm = 1.0  # of the global gradient; 0 is off

    config.train = ConfigDict()
    config.train.steps = 1_000_000
    config.train.epochs = 0.0  # over the examples, in place of steps; 0 is off
    config.train.batch = 256  # sequences in one update, over all devices
    config.train.accumulate = 1  # micro-batches that one update is summed over
    config.train.log_every = 100
    config.train.save_every = 5_000  # 0: once an epoch
    config.train.keep_last = 3
    config.train.keep_every = 0  # also keep every k-th step for good; 0 is off
    config.train.keep_powers = False  # also save and keep steps 0, 1, 2, 4, 8, ...
    config.train.keep_best = (
        False  # save, keep and use the step of the best task.metric
    )
    config.train.on_nonfinite = "stop"  # stop | skip: an update that is not finite
    config.train.watchdog = 0.0  # seconds without a step until exit 76; 0 is off
    config.train.patience = (
        0  # stop after so many evaluations without a better; 0 is off
    )

    config.eval = ConfigDict()
    config.eval.every = 5_000  # 0: once an epoch
    config.eval.batch = 256
    config.eval.max_examples = 0  # 0: every held-out example
    config.eval.rows = ""  # shared rows: single, pair, nsp, single_word; "": own alone
    config.eval.length = 0  # tokens of a shared row; needed where there are any

    config.parallel = ConfigDict()
    config.parallel.placement = "jit"  # jit | pmap
    config.parallel.mesh = "-1x1x1"  # data x fsdp x tensor; -1 takes what is left
    return config

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh, AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from scipy import stats

from bert_jax.models import lookup, ops

KEY = jax.random.key(0)
LENGTHS = jnp.array([5, 3])


def row_keys(rows):
    return jax.vmap(lambda row: jax.random.fold_in(KEY, row))(rows)


def random_heads(dtype=jnp.float32, dim=4):
    """Query, key and value of two rows, five tokens and two heads."""
    keys = jax.random.split(KEY, 3)
    return [jax.random.normal(key, (2, 5, 2, dim), dtype) for key in keys]


def attend(query, key, value, lengths=LENGTHS, keys=None, **changes):
    options = {"causal": False, "window": 0, "slopes": None, "first": 0}
    options |= {"rate": 0.0, "record": False} | changes
    attention = jax.jit(partial(ops.attention, **options))
    return attention(query, key, value, lengths=lengths, keys=keys)


def test_dot_multiplies_the_last_axis():
    x, kernel = jnp.arange(6.0).reshape(1, 2, 3), jnp.arange(12.0).reshape(3, 4)
    for axis, matrix in enumerate((kernel, kernel.T)):
        found = ops.dot(x, matrix, axis=axis, dtype=jnp.float32)
        np.testing.assert_array_equal(found, np.matmul(x, kernel))


@pytest.mark.parametrize("axis, shape", [(0, (3, 5)), (1, (5, 3))])
@pytest.mark.parametrize("leading", [(4,), (2, 7), (1, 4), (4, 1)])
def test_a_product_of_16_bits_is_summed_in_32_with_gradients_of_16(
    axis, shape, leading
):
    x = jax.random.normal(KEY, (*leading, 3), jnp.bfloat16)
    matrix = jax.random.normal(KEY, shape, jnp.bfloat16)
    weights = jax.random.normal(KEY, (*leading, 5))

    def total(x, matrix):
        return (weights * ops.dot(x, matrix, axis=axis, dtype=jnp.float32)).sum()

    narrow = jax.jit(jax.value_and_grad(total, (0, 1)))(x, matrix)
    wide = jax.value_and_grad(total, (0, 1))(*(a.astype(float) for a in (x, matrix)))
    np.testing.assert_allclose(narrow[0], wide[0], rtol=1e-5, atol=1e-5)
    for found, exact in zip(narrow[1], wide[1]):
        assert found.dtype == jnp.bfloat16
        np.testing.assert_allclose(found.astype(float), exact, rtol=0.02, atol=0.05)


def test_sums_of_16_bit_products_are_not_rounded_on_the_way():
    ones = jnp.ones((1, 4096), jnp.bfloat16)  # in 16 bits 256 + 1 is 256
    found = ops.dot(ones, ones, axis=1, dtype=jnp.bfloat16)
    assert float(found[0, 0]) == 4096


def mesh_of(kind: str, platform: str) -> AbstractMesh:
    device = AbstractDevice(device_kind=kind, num_cores=None, platform=platform)
    return AbstractMesh((1,), ("data",), abstract_device=device)


def test_only_a_cpu_is_asked_for_32_bits_where_16_will_do():
    @jax.jit
    def product(x):
        return ops.dot(x, x, axis=1, dtype=x.dtype)

    def kept(x):
        return product.trace(x).jaxpr

    x = jnp.ones((4, 4), jnp.bfloat16)
    assert "f32" in str(kept(x))
    with jax.sharding.use_abstract_mesh(mesh_of("TPU v5 lite", "tpu")):
        assert "f32" not in str(kept(x))
    assert "f32" in str(kept(x))


@pytest.mark.parametrize("kind", ["cpu", "NVIDIA H100"])
def test_decode_gives_a_logit_for_each_row_of_the_table_and_no_other(kind, monkeypatch):
    monkeypatch.setattr(ops, "device_kind", lambda: kind)
    x, table = jax.random.normal(KEY, (2, 3, 4)), jax.random.normal(KEY, (130, 4))
    logits, pull = jax.vjp(ops.decode, x, table)
    np.testing.assert_allclose(logits, x @ table.T, rtol=1e-5, atol=1e-5)
    for found, exact in zip(
        pull(jnp.ones_like(logits)),
        (jnp.broadcast_to(table.sum(0), x.shape), jnp.tile(x.sum((0, 1)), (130, 1))),
    ):
        np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("row", [(3,), (2, 3)])
def test_add_adds_to_every_row_and_its_gradient_sums_them_in_32_bits(dtype, row):
    x, bias = jnp.zeros((512, 2, 3), dtype), jnp.arange(float(np.prod(row)))
    bias = bias.reshape(row).astype(dtype)
    np.testing.assert_array_equal(ops.add(x, bias), np.broadcast_to(bias, x.shape))
    gradients = jax.grad(lambda *both: ops.add(*both).sum(), (0, 1))(x, bias)
    np.testing.assert_array_equal(gradients[0], jnp.ones_like(x))
    np.testing.assert_array_equal(gradients[1], 3072 / bias.size)
    assert gradients[1].dtype == dtype


def test_gelu_and_its_gradient_are_those_of_jax():
    x = jnp.linspace(-8, 8, 1001)
    exact = jax.vmap(jax.value_and_grad(partial(jax.nn.gelu, approximate=False)))(x)
    found = jax.vmap(jax.value_and_grad(ops.gelu))(x)
    for one, other in zip(found, exact):
        np.testing.assert_allclose(one, other, atol=1e-6)
    narrow = ops.gelu(x.astype(jnp.bfloat16))
    assert narrow.dtype == jnp.bfloat16
    np.testing.assert_allclose(narrow.astype(float), exact[0], rtol=0.01, atol=0.01)


# ---- attention


def test_attention_weighs_values_by_the_scaled_softmax():
    query = jnp.array([2.0, 0, 0, 0]).reshape(1, 1, 1, 4)  # scaled by 1/2
    key = jnp.array([[jnp.log(3), 0, 0, 0], [0, 0, 0, 0]]).reshape(1, 2, 1, 4)
    value = jnp.array([[4.0, 0, 8, 0], [0, 4, 8, 0]]).reshape(1, 2, 1, 4)
    out, weights = attend(query, key, value, lengths=jnp.array([2]), record=True)
    np.testing.assert_allclose(weights.ravel(), [0.75, 0.25], rtol=1e-6)
    np.testing.assert_allclose(out.ravel(), [3, 1, 8, 0], rtol=1e-6)


@pytest.mark.parametrize("causal", [False, True])
def test_hidden_keys_weigh_exactly_nothing_and_the_others_sum_to_one(causal):
    _, weights = attend(*random_heads(), causal=causal, record=True)
    assert weights is not None
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-6)
    seen = np.arange(5) < np.asarray(LENGTHS)[:, None, None, None]
    if causal:
        seen = seen & np.tri(5, dtype=bool)
    seen = np.broadcast_to(seen, weights.shape)
    assert (weights[~seen] == 0).all() and (weights[seen] > 0).all()


def test_an_empty_row_makes_no_nan():
    lengths = jnp.array([0, 5])

    def total(heads):
        return attend(*heads, lengths=lengths)[0].sum()

    heads = random_heads()
    assert np.isfinite(attend(*heads, lengths=lengths)[0]).all()
    assert all(np.isfinite(x).all() for x in jax.grad(total)(heads))


def test_recording_weights_changes_no_output():
    plain, nothing = attend(*random_heads())
    recorded, weights = attend(*random_heads(), record=True)
    assert nothing is None and weights is not None
    np.testing.assert_array_equal(plain, recorded)


def test_attention_dropout_zeroes_and_rescales_weights():
    query, key, value = (jnp.zeros((1, 1, 1, 64)), *2 * [jnp.zeros((1, 64, 1, 64))])
    value = jnp.eye(64).reshape(1, 64, 1, 64)  # the output shows the weights
    lengths, keys = jnp.array([64]), row_keys(jnp.arange(1))
    out, _ = attend(query, key, value, lengths=lengths, rate=0.5, keys=keys)
    assert set(np.unique(out)) == {0, 2 / 64}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_gradients_of_attention_are_those_of_its_equation(causal, rate):
    heads, keys = random_heads(), row_keys(jnp.arange(2))
    wanted = jax.random.normal(KEY, (2, 5, 2, 4))

    def ours(*heads):
        out, _ = attend(*heads, keys=keys, causal=causal, rate=rate)
        return (out * wanted).sum()

    def equation(query, key, value):
        scores = jnp.einsum("BTNH,BSNH->BNTS", query, key) / 4**0.5
        seen = np.arange(5) < np.array(LENGTHS)[:, None, None, None]
        seen = seen & (np.tri(5, dtype=bool) | (not causal))
        weights = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf))
        dropped = ops.dropout(weights, rate, keys)
        return (jnp.einsum("BNTS,BSNH->BTNH", dropped, value) * wanted).sum()

    for found, exact in zip(
        jax.grad(ours, (0, 1, 2))(*heads), jax.grad(equation, (0, 1, 2))(*heads)
    ):
        np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-6)


@pytest.fixture
def nvidia(monkeypatch):
    """An NVIDIA device whose cuDNN is jax's own XLA attention; counts its calls."""
    calls = []
    attention = jax.nn.dot_product_attention

    def cudnn(*heads, implementation, **options):
        calls.append(implementation)
        return attention(*heads, implementation="xla", **options)

    monkeypatch.setattr(jax.nn, "dot_product_attention", cudnn)
    monkeypatch.setattr(ops, "device_kind", lambda: "NVIDIA H100")
    return calls


@pytest.mark.parametrize("causal", [False, True])
def test_the_fused_path_is_asked_for_the_same_attention(nvidia, causal):
    heads = random_heads(jnp.bfloat16, dim=8)
    fused, _ = attend(*heads, causal=causal)
    plain, _ = attend(*heads, causal=causal, record=True)
    assert nvidia == ["cudnn"]
    np.testing.assert_allclose(
        fused.astype(float), plain.astype(float), atol=0.02, rtol=0.02
    )


@pytest.mark.parametrize(
    "dtype, dim, rate, record, fused",
    [
        (jnp.bfloat16, 8, 0.0, False, True),
        (jnp.float16, 8, 0.0, False, True),
        (jnp.float32, 8, 0.0, False, False),
        (jnp.bfloat16, 4, 0.0, False, False),
        (jnp.bfloat16, 8, 0.1, False, False),
        (jnp.bfloat16, 8, 0.0, True, False),
    ],
)
def test_the_fused_path_is_taken_only_where_it_can_serve(
    nvidia, dtype, dim, rate, record, fused
):
    heads, keys = random_heads(dtype, dim), row_keys(jnp.arange(2))
    jax.eval_shape(lambda: attend(*heads, keys=keys, rate=rate, record=record))
    assert bool(nvidia) == fused


# ---- dropout


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.999])
def test_dropout_drops_its_share_in_each_quarter_of_a_word(rate):
    x = jnp.ones((4, 250, 1000))
    kept = np.asarray(ops.dropout(x, rate, row_keys(jnp.arange(4))))
    np.testing.assert_allclose(np.unique(kept), [0, 1 / (1 - rate)], rtol=1e-6)
    low, high = stats.binom.interval(1 - 1e-6, 250_000, rate)
    for quarter in range(4):
        dropped = (kept[..., quarter::4] == 0).sum()
        assert low <= dropped <= high


def test_dropout_bits_of_rows_sites_and_keys_are_unrelated():
    kept = ops.dropout(jnp.ones((2, 4096)), 0.5, row_keys(jnp.arange(2))) > 0
    low, high = stats.binom.interval(1 - 1e-6, 4096, 0.5)
    assert low <= (kept[0] == kept[1]).sum() <= high
    assert low <= (kept[0] == jnp.roll(kept[0], 1)).sum() <= high


@pytest.mark.parametrize("rate, keys", [(0.0, row_keys(jnp.arange(2))), (0.5, None)])
def test_no_rate_or_no_keys_is_the_identity(rate, keys):
    x = jnp.arange(6.0).reshape(2, 3)
    assert ops.dropout(x, rate, keys) is x


@jax.jit
def drop(x, rows):
    return ops.dropout(x, 0.1, row_keys(rows))


@pytest.mark.parametrize("row", [(1,), (8,), (3, 5)])
def test_a_rows_bits_do_not_depend_on_its_neighbours(row):
    rows = jnp.array([7, 2**31 - 1, 0])
    together = drop(jnp.ones((3, *row)), rows)
    for index in range(3):
        alone = drop(jnp.ones((1, *row)), rows[index : index + 1])
        np.testing.assert_array_equal(alone[0], together[index])


def test_the_gradient_of_dropout_is_its_own_mask():
    x, keys = jnp.ones((3, 7)), row_keys(jnp.arange(3))
    gradient = jax.grad(lambda x: ops.dropout(x, 0.3, keys).sum())(x)
    np.testing.assert_array_equal(gradient, ops.dropout(x, 0.3, keys))


@pytest.mark.parametrize("row", [(5, 7), (4, 8, 8)])
@pytest.mark.parametrize("mesh", [(8, 1, 1), (4, 2, 1), (2, 2, 2)])
def test_eight_devices_by_jit_drop_the_bits_of_one(row, mesh):
    x, rows = jnp.ones((16, *row)), jnp.arange(16)
    axes = ("data", "fsdp", "tensor")
    devices = jax.make_mesh(mesh, axes, axis_types=3 * (AxisType.Auto,))
    rows_sharding = NamedSharding(devices, P(("data", "fsdp")))
    heads = "tensor" if row[0] % mesh[2] == 0 else None
    x_sharding = NamedSharding(devices, P(("data", "fsdp"), heads))
    placed = jax.device_put(x, x_sharding), jax.device_put(rows, rows_sharding)
    compiled = jax.jit(drop, out_shardings=x_sharding).lower(*placed).compile()
    np.testing.assert_array_equal(compiled(*placed), drop(x, rows))
    text = compiled.as_text()
    assert "all-" not in text and "collective-" not in text


def test_eight_devices_by_pmap_and_shard_map_drop_the_bits_of_one():
    x, rows = jnp.ones((16, 5, 7)), jnp.arange(16)
    expected = drop(x, rows)
    by_pmap = jax.pmap(drop)(x.reshape(8, 2, 5, 7), rows.reshape(8, 2))
    np.testing.assert_array_equal(by_pmap.reshape(x.shape), expected)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    by_shard_map = jax.jit(
        jax.shard_map(drop, mesh=mesh, in_specs=P("data"), out_specs=P("data"))
    )
    np.testing.assert_array_equal(by_shard_map(x, rows), expected)


# ---- embed and gather


def test_embed_reads_rows_and_its_gradient_adds_up_repeats():
    table, ids = jnp.arange(8.0).reshape(4, 2), jnp.array([[1, 3], [1, 0]])
    np.testing.assert_array_equal(ops.embed(table, ids), np.asarray(table)[ids])
    gradient = jax.grad(lambda table: ops.embed(table, ids).sum())(table)
    np.testing.assert_array_equal(gradient[:, 0], [1, 2, 0, 1])


def test_an_id_beyond_the_table_reads_nan():
    assert np.isnan(ops.embed(jnp.ones((4, 2)), jnp.array([4]))).all()


@pytest.mark.parametrize("shape", [(16, 8), (2, 3, 4), (3, 600)])
def test_the_gradient_without_contention_is_the_plain_one(shape):
    table = jax.random.normal(KEY, (9, 3))
    ids = jax.random.randint(KEY, shape, 0, 12) % 10  # 0 and 1 often; 9 is beyond
    weights = jax.random.randint(KEY, (*shape, 3), -9, 9)  # whose sums are exact

    of_rows = jnp.where((ids < 9)[..., None], weights, 0).astype(float)
    plain = lookup.gradient(table, ids, of_rows)
    np.testing.assert_array_equal(lookup.grouped_gradient(table, ids, of_rows), plain)
    summed = jax.grad(lambda table: jnp.nansum(weights * ops.embed(table, ids)))(table)
    np.testing.assert_array_equal(summed, plain)


@pytest.mark.parametrize("platform, grouped", [("cpu", 0), ("tpu", 0), ("cuda", 1)])
def test_only_nvidia_sums_equal_ids_by_a_product(platform, grouped):
    table, ids = jnp.ones((50, 4)), jnp.zeros((32, 16), int)
    gradient = jax.jit(jax.grad(lambda table: ops.embed(table, ids).sum()))
    lowered = gradient.trace(table).lower(lowering_platforms=(platform,))
    assert lowered.as_text().count("stablehlo.dot_general") == grouped


@pytest.mark.parametrize("platform, product", [("cpu", 1), ("tpu", 0), ("cuda", 0)])
def test_only_a_cpu_multiplies_rows_by_ones_to_sum_them(platform, product):
    bias = jnp.ones(ops.WIDE + 1)
    gradient = jax.jit(jax.grad(lambda x, row: ops.add(x, row).sum(), 1))
    traced = gradient.trace(jnp.ones((2, bias.size)), bias)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert text.count("stablehlo.dot_general") == product


def test_eight_devices_sum_equal_ids_apart_without_another_word():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    by_row, everywhere = NamedSharding(mesh, P("data")), NamedSharding(mesh, P())
    table = jax.device_put(jnp.ones((50, 4)), everywhere)
    ids = jax.device_put(jnp.arange(32 * 16).reshape(32, 16) % 50, by_row)

    def collectives(gradient):
        def ones(table, ids):
            return gradient(table, ids, jnp.ones((*ids.shape, 4)))

        text = jax.jit(ones, out_shardings=everywhere).lower(table, ids).compile()
        return re.findall(r" (all-\w+|collective-\w+|reduce-scatter)\(", text.as_text())

    assert lookup.rows_of_group(32, 16) == 4
    assert collectives(lookup.gradient) == ["all-reduce"]
    assert collectives(lookup.grouped_gradient) == ["all-reduce"]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_gather_picks_exact_values_and_repeats_add_up_in_its_gradient(dtype):
    x = jax.random.normal(KEY, (2, 5, 3), dtype)
    positions = jnp.array([[4, 0, 4], [2, 1, 0]])
    picked = ops.gather(x, positions)
    expected = np.take_along_axis(np.asarray(x), np.asarray(positions)[..., None], 1)
    np.testing.assert_array_equal(picked, expected)
    gradient = jax.grad(lambda x: ops.gather(x, positions).sum())(x)
    np.testing.assert_array_equal(gradient[0, :, 0], [1, 0, 0, 0, 2])


def test_pick_reads_one_entry_a_row_and_its_gradient_is_1_there():
    x, ids = jnp.arange(12.0).reshape(2, 2, 3), jnp.array([[0, 2], [1, 1]])
    np.testing.assert_array_equal(ops.pick(x, ids), [[0, 5], [7, 10]])
    gradient = jax.grad(lambda x: (2 * ops.pick(x, ids)).sum())(x)
    np.testing.assert_array_equal(gradient, 2 * np.eye(3)[ids])

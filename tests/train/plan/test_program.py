"""What is read from a compiled program's text, in small cases written by hand."""

import jax
import jax.numpy as jnp
import pytest

from bert_jax.train.plan import program
from bert_jax.train.plan.program import Collective

SUM = """\
%add (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  %y = f32[] parameter(1)
  ROOT %sum = f32[] add(%x, %y)
}

"""


def found(*lines: str, before: str = "", devices: int = 8) -> list[Collective]:
    """Of a program of these lines; %a, %b and %c are arrays of 40, 6 and 16 bytes."""
    body = (
        "%a = f32[10]{0:T(128)} parameter(0)",
        "%b = bf16[3,1]{1,0:T(8,128)(2,1)S(1)} parameter(1)",
        "%c = s8[2,8]{1,0} parameter(2)",
        *lines,
    )
    text = "ENTRY %main (a: f32[10], b: bf16[3,1], c: s8[2,8]) -> f32[10] {\n"
    return program.collectives(
        SUM + before + text + "".join(f"  {line}\n" for line in body) + "}\n", devices
    )


def test_a_sum_of_several_arrays_counts_all_of_them():
    line = (
        "%r = (f32[10]{0}, /*index=1*/bf16[3,1]{1,0}) all-reduce(%a, /*index=1*/%b), "
        "channel_id=1, replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%add, "
        'metadata={op_name="psum(x)"}'
    )
    assert found(line) == [Collective("all-reduce", 46, 4, 1)]


def test_what_is_gathered_counts_after_and_what_is_scattered_before():
    gather = (
        "%g = s8[8,8]{1,0} all-gather(%c), replica_groups=[2,4]<=[8], dimensions={0}"
    )
    scatter = "%s = f32[5]{0} reduce-scatter(%a), replica_groups={{0,1}}, to_apply=%add"
    assert found(gather, scatter) == [
        Collective("all-gather", 64, 4, 1),
        Collective("reduce-scatter", 40, 2, 1),
    ]


def test_one_that_starts_and_is_done_later_counts_once():
    permuted = (
        "%p = (f32[10]{0}, f32[10]{0}, u32[]) collective-permute-start(%a), channel_id=1",
        "%d = f32[10]{0} collective-permute-done(%p)",
    )
    gathered = (
        "%g = (s8[2,8], s8[16,8]) all-gather-start(%c), replica_groups={}",
        "%e = s8[16,8]{1,0} all-gather-done(%g)",
    )
    assert found(*permuted, *gathered) == [
        Collective("collective-permute", 40, 8, 1),
        Collective("all-gather", 128, 8, 1),
    ]


def test_one_that_is_spread_over_fusions_counts_once():
    attributes = 'replica_groups={}, frontend_attributes={chain_id="3"}'
    piece = f"all-gather(%p), channel_id=1, {attributes}\n}}\n"
    fusions = "".join(
        f"%async_collective_fusion.{i} (p: f32[4]) -> f32[32] {{\n"
        f"  %p = f32[4] parameter(0)\n  ROOT %g.{i} = f32[32] {piece}"
        for i in range(3)
    )
    calls = [
        f"%f.{i} = f32[32] fusion(%a), calls=%async_collective_fusion.{i}"
        for i in range(3)
    ]
    assert found(*calls, before=fusions) == [Collective("all-gather", 128, 8, 1)]


def test_a_sum_in_a_fused_scatter_is_a_scatter():
    fused = (
        "%all-reduce-scatter.2 (p: bf16[16]) -> bf16[2] {\n"
        "  %p = bf16[16] parameter(0)\n"
        "  %r = bf16[16] all-reduce(%p), replica_groups={}, to_apply=%add\n"
        "  ROOT %part = bf16[2] dynamic-slice(%r), dynamic_slice_sizes={2}\n}\n"
    )
    line = "%s = bf16[2] fusion(%b), kind=kCustom, calls=%all-reduce-scatter.2"
    assert found(line, before=fused) == [Collective("reduce-scatter", 32, 8, 1)]


def test_one_in_a_loop_counts_every_round():
    body = (
        "%body (p: f32[4]) -> f32[4] {\n"
        "  %p = f32[4] parameter(0)\n"
        "  ROOT %r = f32[4] all-reduce(%p), replica_groups={}, to_apply=%add\n}\n"
    )
    line = (
        "%w = f32[4] while(%a), condition=%add, body=%body, "
        'backend_config={"known_trip_count":{"n":"5"}}'
    )
    (each,) = found(line, before=body)
    assert each == Collective("all-reduce", 16, 8, 5)
    assert each.sent == 5 * 2 * 16 * 7 / 8


@pytest.mark.parametrize(
    ("groups", "size"),
    [
        ("replica_groups={}", 8),
        ("replica_groups={{0,4},{1,5}}", 2),
        ("replica_groups=[2,4]<=[4,2]T(1,0)", 4),
        ("replica_groups=mesh['a'=2,'b'=4] {'b'}", 4),
        ("replica_groups=mesh['a'=2,'b'=4] {'a','b'}", 8),
        ("replica_groups=mesh['a'=2,'b'=4], device_ids=([4,2]T(1,0)) {'a'}", 2),
    ],
)
def test_groups_are_read_as_xla_writes_them(groups, size):
    line = f"%r = f32[10] all-reduce(%a), channel_id=1, {groups}, to_apply=%add"
    assert found(line) == [Collective("all-reduce", 40, size, 1)]


def test_a_group_of_one_sends_nothing():
    line = "%r = f32[10] all-reduce(%a), replica_groups={{0},{1}}, to_apply=%add"
    assert found(line) == []


def test_what_a_device_sends_round_a_ring():
    def sent(kind):
        return Collective(kind, 80, 4, 1).sent

    assert sent("all-reduce") == 120
    assert sent("all-gather") == sent("reduce-scatter") == sent("all-to-all") == 60
    assert sent("collective-permute") == 80


def test_memory_counts_what_is_donated_once():
    def double(x):
        return 2 * x

    shape = jax.ShapeDtypeStruct((100, 10), jnp.float32)
    kept = program.memory(jax.jit(double).lower(shape).compile())
    given = program.memory(jax.jit(double, donate_argnums=0).lower(shape).compile())
    assert (kept.arguments, kept.outputs, kept.donated) == (4000, 4000, 0)
    assert (given.peak, kept.peak - given.peak) == (4000 + given.temporaries, 4000)


def test_work_is_what_xla_counts():
    shape = jax.ShapeDtypeStruct((64, 64), jnp.float32)
    found = program.work(jax.jit(lambda x: x @ x).lower(shape).compile())
    assert found.flops == 2 * 64**3
    assert found.bytes >= 2 * 4 * 64**2


def test_traffic_counts_what_each_instruction_reads_and_writes_and_nothing_twice():
    text = """\
%fused (x: f32[10]) -> f32[10] {
  %x = f32[10]{0} parameter(0)
  %y = f32[10]{0} negate(%x)
  ROOT %z = f32[10]{0} negate(%y)
}

%body (s: (f32[10])) -> (f32[10]) {
  %s = (f32[10]{0}) parameter(0)
  %e = f32[10]{0} get-tuple-element(%s), index=0
  %f = f32[10]{0} fusion(%e), kind=kLoop, calls=%fused
  ROOT %t = (f32[10]{0}) tuple(%f)
}

ENTRY %main (a: f32[10]) -> f32[10] {
  %a = f32[10]{0} parameter(0)
  %b = (f32[10]{0}) tuple(%a)
  %w = (f32[10]{0}) while(%b), condition=%other, body=%body
  %g = f32[10]{0} get-tuple-element(%w), index=0
  %h = bf16[10]{0} fusion(%g), kind=kLoop, calls=%fused
  %i = f32[10]{0} all-reduce-start(%g), to_apply=%add
  ROOT %j = f32[10]{0} all-reduce-done(%i)
}
"""
    assert program.traffic(text) == (40 + 40) + (20 + 40) + (40 + 40)

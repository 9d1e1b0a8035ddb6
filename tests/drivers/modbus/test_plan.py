import itertools
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from drivers.decoders.modbus_point import ModbusPointOptions, Table
from drivers.decoders.registers import NumberType
from drivers.modbus.options import ModbusDeviceOptions
from drivers.modbus.plan import Block, plan_blocks, replaced, split


def register(address: int, kind: NumberType = "uint16", table: Table = "input") -> ModbusPointOptions:
    return ModbusPointOptions(table=table, address=address, type=kind)


def block(address: int, count: int, *point_ids: str, table: Table = "input") -> Block:
    return Block(table=table, address=address, count=count, point_ids=point_ids)


def test_neighbours_share_a_request() -> None:
    points = {"b": register(1), "a": register(0), "c": register(2, "float32")}
    assert plan_blocks(points, ModbusDeviceOptions()) == (block(0, 4, "a", "b", "c"),)


def test_a_hole_separates_unless_it_is_allowed() -> None:
    points = {"a": register(0), "b": register(3)}
    assert plan_blocks(points, ModbusDeviceOptions(hole_max=1)) == (block(0, 1, "a"), block(3, 1, "b"))
    assert plan_blocks(points, ModbusDeviceOptions(hole_max=2)) == (block(0, 4, "a", "b"),)


def test_tables_are_never_mixed() -> None:
    points = {"a": register(0), "b": register(1, table="holding")}
    assert plan_blocks(points, ModbusDeviceOptions(hole_max=9)) == (block(1, 1, "b", table="holding"), block(0, 1, "a"))


def test_a_value_is_not_torn_by_the_largest_request() -> None:
    points = {"a": register(0), "b": register(1), "c": register(2, "float32")}
    assert plan_blocks(points, ModbusDeviceOptions(registers_max=3)) == (block(0, 2, "a", "b"), block(2, 2, "c"))


def test_nothing_is_merged_where_the_device_takes_one_value_at_a_time() -> None:
    points = {"a": register(0, "float32"), "b": register(2)}
    assert plan_blocks(points, ModbusDeviceOptions(registers_max=0)) == (block(0, 2, "a"), block(2, 1, "b"))


def test_points_on_the_same_register_share_it() -> None:
    points = {"low": register(5), "high": register(5, "uint32")}
    assert plan_blocks(points, ModbusDeviceOptions()) == (block(5, 2, "high", "low"),)


def test_a_refused_block_is_replaced_by_its_points() -> None:
    points = {"a": register(0), "b": register(1), "z": register(90)}
    together, far = plan_blocks(points, ModbusDeviceOptions())
    parts = split(together, points)
    assert replaced((together, far), together, parts) == (block(0, 1, "a"), block(1, 1, "b"), block(90, 1, "z"))


def test_a_point_of_its_own_request_is_never_read_with_others() -> None:
    points = {"a": register(0), "b": replace(register(1), own_request=True), "c": register(2)}
    own = replace(block(1, 1, "b"), is_own=True)
    assert plan_blocks(points, ModbusDeviceOptions(hole_max=5)) == (block(0, 3, "a", "c"), own)


def test_points_that_are_bits_of_one_register_share_it_even_where_nothing_is_merged() -> None:
    points = {"a": register(7), "b": replace(register(7), bits=(0, 1)), "c": register(8)}
    assert plan_blocks(points, ModbusDeviceOptions(registers_max=0)) == (block(7, 1, "a", "b"), block(8, 1, "c"))
    own = {name: replace(point, own_request=True) for name, point in points.items()}
    assert [each.point_ids for each in plan_blocks(own, ModbusDeviceOptions())] == [("a", "b"), ("c",)]


def test_a_decimals_register_is_read_wherever_it_stands() -> None:
    points = {"near": replace(register(4), decimals_address=3), "far": replace(register(5), decimals_address=90)}
    together, alone = plan_blocks(points, ModbusDeviceOptions())
    assert together == block(3, 3, "near", "far")
    assert alone == block(90, 1, "far")
    assert split(together, points) == (block(4, 1, "near"), block(3, 1, "near"), block(5, 1, "far"))


kinds = st.sampled_from(["uint16", "int32", "float32", "uint64"])
tables: st.SearchStrategy[Table] = st.sampled_from(["input", "holding"])


@given(
    st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.tuples(st.integers(0, 60), kinds, tables)),
    st.integers(0, 20),
    st.integers(0, 10),
)
def test_every_plan_covers_each_point_once_within_the_limits(
    drawn: dict[str, tuple[int, NumberType, Table]], registers_max: int, hole_max: int
) -> None:
    points = {name: register(address, kind, table) for name, (address, kind, table) in drawn.items()}
    blocks = plan_blocks(points, ModbusDeviceOptions(registers_max=registers_max, hole_max=hole_max))
    assert sorted(name for each in blocks for name in each.point_ids) == sorted(points)
    for each in blocks:
        inside = [points[name] for name in each.point_ids]
        assert each.count <= max(registers_max, *(point.length for point in inside))
        wanted = {register for point in inside for register in range(point.address, point.address + point.length)}
        assert {point.table for point in inside} == {each.table}
        assert min(wanted) == each.address
        assert max(wanted) == each.address + each.count - 1
        gaps = sorted(wanted)
        assert all(later - earlier <= hole_max + 1 for earlier, later in itertools.pairwise(gaps))

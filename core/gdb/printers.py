"""How gdb shows chainrule's types, and calls their members.

gdb loads this from the programs and libraries that chainrule is linked into; `source` loads it from
a file. docs/debugging.md says what it gives.

Nothing here calls a function of the program, so that it works in core dumps and optimised code, too.
"""

import gdb
import gdb.printing
import gdb.xmethod

# More elements than these are not shown.
SHOWN = 8

ELEMENTS = {"f32": "float", "f64": "double", "i64": "long", "boolean": "bool"}


def derived_from(type_, base):
    """Whether it is the class of this name, or derived from it."""
    type_ = type_.strip_typedefs()
    if type_.code != gdb.TYPE_CODE_STRUCT:
        return False
    return type_.name == base or any(derived_from(field.type, base)
                                     for field in type_.fields() if field.is_base_class)


def listed(numbers):
    """(3, 4), (3,) and (), as the library writes shapes."""
    return "(" + ", ".join(map(str, numbers)) + (",)" if len(numbers) == 1 else ")")


def target(ref):
    """What a Ref<T> or a pointer refers to, or None."""
    pointer = ref["pointer_"] if ref.type.strip_typedefs().code == gdb.TYPE_CODE_STRUCT else ref
    return pointer.dereference() if int(pointer) else None


def dtype_of(value):
    """"f32", …"""
    return str(value["dtype_"]).rpartition("::")[2]


def extents(value, strides=False):
    """The shape of a Value, or its strides: they stand behind it in memory."""
    rank = int(value["rank_"])
    behind = (value.address + 1).cast(gdb.lookup_type("long").pointer())
    return [int(behind[i]) for i in range(rank * strides, rank * strides + rank)]


def elements(value, count):
    """The first elements of a Value in row-major order, whatever its strides."""
    data = value["elements_"].cast(gdb.lookup_type(ELEMENTS[dtype_of(value)]).pointer())
    shape, strides = extents(value), extents(value, strides=True)
    for flat in range(min(count, int(value["numel_"]))):
        offset = 0
        for extent, stride in zip(reversed(shape), reversed(strides)):
            flat, at = divmod(flat, extent)
            offset += at * stride
        yield data[offset]


def name_of(tensor):
    """The name of a Tensor, or ""."""
    node = target(tensor["node_"])
    if node is None or not int(node["extra_"]):
        return ""
    # The name and its size are the first two words of what the node keeps apart, whose type only
    # the library's own debug information has.
    words = node["extra_"].cast(gdb.lookup_type("long").pointer())
    size = int(words[1])
    if not size:
        return ""
    return words[0].cast(gdb.lookup_type("char").pointer()).string("utf-8", length=size)


def tensor_text(tensor):
    """W (2, 3) f32 [1, 2, 3, 4, 5, 6] requires_grad"""
    value = target(tensor["value_"])
    if value is None:
        return "tensor(undefined)"
    shown = [str(element) for element in elements(value, SHOWN)]
    if int(value["numel_"]) > SHOWN:
        shown.append("...")
    node = target(tensor["node_"])
    parts = [name_of(tensor), listed(extents(value)), dtype_of(value), "[" + ", ".join(shown) + "]",
             "requires_grad" if node is not None and int(node["requires_grad_"]) else ""]
    return " ".join(filter(None, parts))


class TensorPrinter:
    def __init__(self, tensor):
        self.tensor = tensor

    def to_string(self):
        return tensor_text(self.tensor)


class ShapePrinter:
    def __init__(self, shape):
        self.shape = shape

    def to_string(self):
        return listed([int(self.shape["dims_"][i]) for i in range(int(self.shape["rank_"]))])


class RefPrinter:
    """A Ref of a value as the tensor that it is."""

    def __init__(self, ref):
        self.ref = ref

    def to_string(self):
        value = target(self.ref)
        if value is None:
            return "null"
        return tensor_text({"value_": self.ref, "node_": gdb.Value(0)})


def entries(vector):
    at, end = vector["_M_impl"]["_M_start"], vector["_M_impl"]["_M_finish"]
    while at != end:
        yield at.dereference()
        at += 1


def text_of(string):
    return string["_M_dataplus"]["_M_p"].string("utf-8", length=int(string["_M_string_length"]))


def own_members(module):
    """What users' classes of modules hold beside parameters, buffers and modules."""
    for field in module.type.strip_typedefs().fields():
        if field.is_base_class:
            if not field.type.name.startswith("chainrule::nn::"):
                yield from own_members(module[field])
        elif hasattr(field, "bitpos") and not any(
                derived_from(field.type, f"chainrule::nn::{base}") for base in ("State", "Module")):
            yield field.name, module[field]


class ModulePrinter:
    """The class of a module; its parameters, buffers and modules under the names they have there,
    and the other members that users' classes give it."""

    def __init__(self, module):
        self.module = module.cast(module.dynamic_type)

    def to_string(self):
        return self.module.dynamic_type.name

    def children(self):
        base = self.module.cast(gdb.lookup_type("chainrule::nn::Module"))
        for table in ("parameters_", "buffers_"):
            for entry in entries(base[table]):
                yield text_of(entry["name"]), entry["tensor"]
        child = base["first_child_"]
        while child != 0:
            yield text_of(child["name_"]), child.dereference()
            child = child["next_"]
        if not self.module.type.name.startswith("chainrule::nn::"):
            yield from own_members(self.module)


class Printers(gdb.printing.PrettyPrinter):
    CLASSES = [("chainrule::Tensor", TensorPrinter), ("chainrule::Shape", ShapePrinter),
               ("chainrule::nn::Module", ModulePrinter)]

    def __call__(self, value):
        type_ = value.type.strip_typedefs()
        if type_.code != gdb.TYPE_CODE_STRUCT:
            return None
        if type_.name and type_.name.startswith("chainrule::Ref<chainrule::Value"):
            return RefPrinter(value)
        for name, printer in self.CLASSES:
            if derived_from(type_, name):
                return printer(value)
        return None


# --- members that gdb could not call by itself, as their last argument is the caller's line ---

def shape_value(numbers):
    """A chainrule::Shape."""
    type_ = gdb.lookup_type("chainrule::Shape")
    fields = {field.name: field for field in type_.fields()}
    memory = bytearray(type_.sizeof)
    for i, number in enumerate(numbers):
        start = fields["dims_"].bitpos // 8 + 8 * i
        memory[start:start + 8] = number.to_bytes(8, "little", signed=True)
    start = fields["rank_"].bitpos // 8
    memory[start:start + 4] = len(numbers).to_bytes(4, "little")
    return gdb.Value(bytes(memory), type_)


def size_of_axis(value, axis):
    shape = extents(value)
    if not -len(shape) <= int(axis) < len(shape):
        raise gdb.GdbError(f"axis {int(axis)} of {listed(shape)}")
    return shape[int(axis)]


def all_elements(value):
    """An array, which gdb abridges by `set print elements`."""
    if not value["contiguous_"]:
        raise gdb.GdbError("its elements do not stand in row-major order")
    count = int(value["numel_"])
    if count == 0:
        raise gdb.GdbError("it has no elements")
    type_ = gdb.lookup_type(ELEMENTS[dtype_of(value)])
    return value["elements_"].cast(type_.array(count - 1).pointer()).dereference()


MEMBERS = {
    "shape": lambda value: shape_value(extents(value)),
    "strides": lambda value: shape_value(extents(value, strides=True)),
    "dtype": lambda value: value["dtype_"],
    "rank": lambda value: int(value["rank_"]),
    "numel": lambda value: int(value["numel_"]),
    "size": size_of_axis,
    "is_contiguous": lambda value: bool(value["contiguous_"]),
    "data": all_elements,
}


class Member(gdb.xmethod.XMethodWorker):
    def __init__(self, name):
        self.name = name

    def get_arg_types(self):
        return [gdb.lookup_type("int")] if self.name == "size" else None

    def get_result_type(self, *_):
        return None

    def __call__(self, tensor, *arguments):
        value = target(tensor["value_"])
        if value is None:
            raise gdb.GdbError("the tensor is undefined")
        return MEMBERS[self.name](value, *arguments)


class Members(gdb.xmethod.XMethodMatcher):
    def __init__(self):
        super().__init__("chainrule")
        self.methods = [gdb.xmethod.XMethod(name) for name in MEMBERS]

    def match(self, class_type, method_name):
        if not derived_from(class_type, "chainrule::Tensor"):
            return None
        return [Member(method.name) for method in self.methods
                if method.enabled and method.name == method_name]


gdb.printing.register_pretty_printer(gdb.current_objfile(), Printers("chainrule"), replace=True)
gdb.xmethod.register_xmethod_matcher(gdb.current_objfile(), Members(), replace=True)

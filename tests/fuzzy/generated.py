"""Random rule bases: sound ones, and the many ways to break one."""

from hypothesis import strategies as st

from keras_fuzzyhess.fuzzy import Rule, RuleBase, Term, Variable

TICKS = 1000


@st.composite
def ticks(draw, count, low, high):
    """`count` different ascending numbers strictly inside (low, high)."""
    chosen = draw(
        st.lists(st.integers(1, TICKS - 1), min_size=count, max_size=count, unique=True)
    )
    return [low + (high - low) * tick / TICKS for tick in sorted(chosen)]


@st.composite
def input_variables(draw, name, lows, highs, most=5):
    low, high = draw(st.sampled_from(lows)), draw(st.sampled_from(highs))
    count = draw(st.integers(2, most))
    p = draw(ticks(2 * count - 2, low, high))
    terms = [Term("t0", "left_shoulder", p[:2])]
    for i in range(1, count - 1):
        a, b, c, d = p[2 * i - 2 : 2 * i + 2]
        if draw(st.booleans()):
            terms.append(Term(f"t{i}", "trapezoid", (a, b, c, d)))
        else:
            terms.append(Term(f"t{i}", "triangle", (a, (b + c) / 2, d)))
    terms.append(Term(f"t{count - 1}", "right_shoulder", p[-2:]))
    return Variable(name, low, high, tuple(terms))


@st.composite
def output_variables(draw, name, lows, highs):
    low, high = draw(st.sampled_from(lows)), draw(st.sampled_from(highs))
    terms = []
    for i in range(draw(st.integers(1, 5))):
        shape, count = draw(
            st.sampled_from(
                [
                    ("triangle", 3),
                    ("trapezoid", 4),
                    ("left_shoulder", 2),
                    ("right_shoulder", 2),
                ]
            )
        )
        points = draw(ticks(count, low, high))
        if shape == "trapezoid" and draw(st.booleans()):
            points[1], points[3] = points[0], points[2] + (points[3] - points[2]) / 2
        terms.append(Term(f"s{i}", shape, points))
    return Variable(name, low, high, tuple(terms))


@st.composite
def rule_bases(draw, counts=(2, 3)):
    """Sound rule bases; `counts` are numbers of inputs that they may have."""
    inputs = [
        draw(input_variables("loss_trend", (-1.0, -0.75), (0.6, 1.0))),
        draw(input_variables("progress", (0.0, 0.1), (0.9, 1.0))),
    ]
    if draw(st.sampled_from(counts)) == 3:
        inputs.append(
            draw(input_variables("loss_fall", (-1.0, -0.5), (0.8, 1.0), most=3))
        )
    gain = draw(
        st.sampled_from(
            [
                ("gain_rate", (-0.2, -0.05), (0.05, 0.3)),
                ("gain", (0.0, 0.1), (1.0, 5.0)),
            ]
        )
    )
    outputs = (
        draw(output_variables(*gain)),
        draw(output_variables("beta_3", (0.0, 0.8), (0.95, 0.999))),
    )

    def consequent():
        return {
            output.name: draw(st.sampled_from(output.term_names)) for output in outputs
        }

    weights = st.one_of(st.just(1.0), st.floats(0.01, 1.0))

    def cells():
        """All pairs of the first two inputs, some of them split by the third."""
        for trend in inputs[0].term_names:
            for stage in inputs[1].term_names:
                cell = {"loss_trend": trend, "progress": stage}
                if len(inputs) == 3 and draw(st.booleans()):
                    for fall in inputs[2].term_names:
                        yield cell | {"loss_fall": fall}
                else:
                    yield cell

    rules = [
        Rule(cell, consequent(), draw(weights), draw(st.text(max_size=20)))
        for cell in cells()
    ]
    for _ in range(draw(st.integers(0, 2))):
        variable = draw(st.sampled_from(inputs))
        term = draw(st.sampled_from(variable.term_names))
        rules.append(
            Rule({variable.name: term}, consequent(), draw(st.floats(0.0, 1.0)))
        )
    return RuleBase("generated", tuple(inputs), outputs, tuple(rules))


@st.composite
def broken_rule_bases(draw):
    """`(data, named)`: data of an unsound rule base, and what its error must name."""
    data = draw(rule_bases()).to_dict()
    side = draw(st.sampled_from(["inputs", "outputs"]))
    variable = data[side][draw(st.integers(0, len(data[side]) - 1))]
    number = draw(st.integers(0, len(variable["terms"]) - 1))
    term = variable["terms"][number]
    rule_number = draw(st.integers(0, len(data["rules"]) - 1))
    rule = data["rules"][rule_number]
    this_rule = f"rule {rule_number + 1} "
    match draw(st.integers(0, 21)):
        case 0:
            term["points"][-1] = variable["high"] + 0.01
            return data, [term["name"], variable["name"], "inside"]
        case 1:
            term["points"] = term["points"][::-1]
            return data, [term["name"], "ascending"]
        case 2:
            bad = draw(st.sampled_from([float("nan"), float("inf"), -float("inf")]))
            term["points"][0] = bad
            return data, [term["name"], "finite", str(bad)]
        case 3:
            term["points"].append(variable["high"])
            term["points"].append(variable["high"])
            return data, [term["name"], term["shape"]]
        case 4:
            term["shape"] = "gaussian"
            return data, [term["name"], "gaussian", "triangle"]
        case 5:
            term["name"] = ""
            return data, ["name of a term"]
        case 6:
            variable["name"] = "temperature"
            return data, ["temperature"]
        case 7:
            variable["low"], variable["high"] = variable["high"], variable["low"]
            return data, [variable["name"], "low"]
        case 8:
            variable["terms"].append(dict(term))
            return data, [variable["name"], term["name"], "twice"]
        case 9:
            rule["weight"] = draw(st.sampled_from([-0.1, 1.5, float("nan"), "full"]))
            return data, ["weight", next(iter(rule["if"].values()))]
        case 10:
            rule["if"] = {"loss_trend": "sideways"}
            return data, [this_rule, "loss_trend", "sideways"]
        case 11:
            rule["then"]["beta_3"] = "eternal"
            return data, [this_rule, "beta_3", "eternal"]
        case 12:
            del rule["then"]["beta_3"]
            return data, [this_rule, "beta_3", "every output"]
        case 13:
            rule["if"]["weather"] = "fine"
            return data, [this_rule, "weather"]
        case 14:
            rule["if"] = {}
            return data, ["if_", "at least one"]
        case 15:
            trend = data["inputs"][0]["terms"][0]["name"]
            stage = data["inputs"][1]["terms"][-1]["name"]
            cell = {"loss_trend": trend, "progress": stage}
            data["rules"] = [
                rule
                for rule in data["rules"]
                if len(rule["if"]) > 1 and not cell.items() <= rule["if"].items()
            ]
            return data, [f"loss_trend={trend}, progress={stage}"]
        case 16:
            variable = draw(st.sampled_from(data["inputs"]))
            gone = variable["terms"].pop()["name"]
            data["rules"] = [r for r in data["rules"] if gone not in r["if"].values()]
            return data, [variable["name"], "overlap"]
        case 17:
            variable = data["outputs"][draw(st.integers(0, 1))]
            peak = variable["terms"][0]["points"][0]
            variable["terms"][0].update(shape="triangle", points=[peak] * 3)
            name = variable["terms"][0]["name"]
            data["rules"][0]["then"][variable["name"]] = name
            return data, [name, variable["name"], "area", "rule"]
        case 18:
            beta_3 = data["outputs"][1]
            beta_3["high"] = 1.0
            return data, ["beta_3", "1.0"]
        case 19:
            data["outputs"].append({**data["outputs"][0], "name": "learning_rate"})
            return data, ["learning_rate", "outputs"]
        case 20:
            first = data["inputs"][0]["terms"][0]
            first["points"][1] = first["points"][0]
            return data, [first["name"], "loss_trend", "edge"]
        case _:
            data["rules"] = []
            return data, ["rules", "generated", "0"]

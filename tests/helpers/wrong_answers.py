"""Wrong answers to the exercises of the course, as students write them, by the kind of their mistake."""

WRONG = {
    "1.1": {
        "product of slopes": "def slope_of_g(w):\n    return 1 * -np.exp(-w)",
        "inner slope missing": "def slope_of_g(w):\n    return np.exp(-w) + w * np.exp(-w)",
        "second term missing": "def slope_of_g(w):\n    return np.exp(-w)",
        "first term missing": "def slope_of_g(w):\n    return -w * np.exp(-w)",
        "flipped sign": "def slope_of_g(w):\n    return -(1 - w) * np.exp(-w)",
        "the function itself": "def slope_of_g(w):\n    return w * np.exp(-w)",
        "hard-coded": "def slope_of_g(w):\n    return 0.7 * np.exp(-0.3)",
        "inexact": "def slope_of_g(w):\n    return forward_difference(lambda w: w * np.exp(-w), w, 0.01)",
        "differs": "def slope_of_g(w):\n    return w**2",
    },
    "1.2": {
        "flipped sign": "def update(p, g, state, lr):\n    return p + lr * g",
        "lr missing": "def update(p, g, state, lr):\n    return p - g",
        "nothing changes": "def update(p, g, state, lr):\n    p = p - lr * g",
        "lr read once": (
            "def update(p, g, state, lr):\n    lr = state.setdefault('lr', lr)\n    return p - lr * g"
        ),
        "prints": "def update(p, g, state, lr):\n    print(p - lr * g)",
        "gradient changed": "def update(p, g, state, lr):\n    g *= lr\n    return p - g",
        "wrong shape": "def update(p, g, state, lr):\n    return p - lr * g, state",
        "other arguments": "def update(p, g):\n    return p - 0.1 * g",
        "raises": "def update(p, g, state, lr):\n    return p - learning_rate * g",
        "not a function": "update = 0.3",
    },
    "1.3": {
        "the left valley": "ridge = descend(-5.5, 0.5, 60)[-1]",
        "the right valley": "ridge = descend(6.8, 0.5, 60)[-1]",
        "halfway": "ridge = (-1.3064 + 3.8375) / 2",
        "the sine alone": "ridge = np.pi / 2",
        "inexact": "ridge = 1.98",
        "differs": "ridge = 1.3",
        "not a number": "ridge = '1.977'",
    },
    "2.1": {
        "no parents": "def exp(value):\n    return Value(math.exp(value.data))",
        "slope 1": "def exp(value):\n    return Value(math.exp(value.data), (value,), (1.0,))",
        "the input as slope": """
def exp(value):
    return Value(math.exp(value.data), (value,), (value.data,))""",
        "the power rule": """
def exp(value):
    return Value(math.exp(value.data), (value,), (value.data * math.exp(value.data - 1),))""",
        "flipped sign": """
def exp(value):
    y = math.exp(value.data)
    return Value(y, (value,), (-y,))""",
        "not a Value": "def exp(value):\n    return math.exp(value.data)",
        "broken Value": """
def backward(self):
    self.grad = 1.0
    for value in reversed(self.history()):
        for parent, slope in zip(value.parents, value.slopes, strict=True):
            parent.grad = slope * value.grad

Value.backward = backward

def exp(value):
    y = math.exp(value.data)
    return Value(y, (value,), (y,))""",
        "changes its arguments": """
def exp(value):
    value.data = math.exp(value.data)
    return Value(value.data, (value,), (value.data,))""",
        "raises": "def exp(value):\n    return Value(math.exp(value), (value,), (math.exp(value),))",
    },
    "2.2": {
        "the sum over uses": "overwritten = lambda a: 2 * a + 1\noverwritten_cube = lambda a: a**2",
        "the sum visited last": "overwritten = lambda a: 1\noverwritten_cube = lambda a: a**2",
        "both uses in the product": "overwritten = lambda a: a\noverwritten_cube = lambda a: 2 * a**2",
        "only one use lost": "overwritten = lambda a: a + 1\noverwritten_cube = lambda a: a**2",
        "slope received not multiplied": "overwritten = lambda a: a\noverwritten_cube = lambda a: a",
        "hard-coded": "overwritten = lambda a: 3\noverwritten_cube = lambda a: a**2",
    },
    "3.1": {
        "no bias": """
@tg.primitive(x=lambda g, W: g @ W, W=lambda g, x: g.T @ x, b=lambda g: g)
def layer(xp, x, W, b):
    return x @ W.T""",
        "W not transposed": """
@tg.primitive(x=lambda g, W: g @ W.T, W=lambda g, x: x.T @ g, b=lambda g: g)
def layer(xp, x, W, b):
    return x @ W + b""",
        "wrong axis": """
@tg.primitive(x=lambda g, W: g @ W, W=lambda g, x: (g.T @ x).T, b=lambda g: g)
def layer(xp, x, W, b):
    return x @ W.T + b""",
        "constant factor": """
@tg.primitive(x=lambda g, W: g @ W, W=lambda g, x: g.T @ x / len(x), b=lambda g: g)
def layer(xp, x, W, b):
    return x @ W.T + b""",
        "missing un-broadcast": """
@tg.primitive(x=lambda g, W: g @ W, W=lambda g, x: g.T @ x, b=lambda g: g[0])
def layer(xp, x, W, b):
    return x @ W.T + b""",
        "no rule": """
@tg.primitive(x=lambda g, W: g @ W, W=lambda g, x: g.T @ x)
def layer(xp, x, W, b):
    return x @ W.T + b""",
        "not a primitive": "def layer(xp, x, W, b):\n    return x @ W.T + b",
        "other arguments": """
@tg.primitive(x=lambda g, W: g @ W, W=lambda g, x: g.T @ x)
def layer(xp, x, W):
    return x @ W.T""",
    },
    "3.2": {
        "mean for sum": """
@tg.primitive(x=lambda g, x, y, xp: g * xp.exp(x - y))
def logsumexp(xp, x):
    return xp.log(xp.mean(xp.exp(x)))

sum_of_gradient = 1""",
        "the maximum itself": """
@tg.primitive(x=lambda g, x, y, xp: g * xp.exp(x - y))
def logsumexp(xp, x):
    return xp.max(x)

sum_of_gradient = 1""",
        "missing g": """
@tg.primitive(x=lambda x, y, xp: xp.exp(x - y))
def logsumexp(xp, x):
    return xp.log(xp.sum(xp.exp(x)))

sum_of_gradient = 1""",
        "flipped sign": """
@tg.primitive(x=lambda g, x, y, xp: -g * xp.exp(x - y))
def logsumexp(xp, x):
    return xp.log(xp.sum(xp.exp(x)))

sum_of_gradient = 1""",
        "0": """
@tg.primitive(x=lambda g, x, y, xp: g * xp.exp(x - y))
def logsumexp(xp, x):
    return xp.log(xp.sum(xp.exp(x)))

sum_of_gradient = 0""",
        "wrong shape": """
@tg.primitive(x=lambda g, x, y, xp: g * xp.exp(x - y))
def logsumexp(xp, x):
    return xp.log(xp.sum(xp.exp(x), axis=0))

sum_of_gradient = 1""",
    },
    "4.1": {
        "flipped sign": """
def slopes_by_hand(w, b, x, y):
    error = y - (w * x + b)
    return 2 * (error * x).mean(), 2 * error.mean()""",
        "factor 2 missing": """
def slopes_by_hand(w, b, x, y):
    error = w * x + b - y
    return (error * x).mean(), error.mean()""",
        "sum for mean": """
def slopes_by_hand(w, b, x, y):
    error = w * x + b - y
    return 2 * error @ x, 2 * error.sum()""",
        "product of means": """
def slopes_by_hand(w, b, x, y):
    error = w * x + b - y
    return 2 * error.mean() * x.mean(), 2 * error.mean()""",
        "x missing": """
def slopes_by_hand(w, b, x, y):
    error = w * x + b - y
    return 2 * error.mean(), 2 * error.mean()""",
        "order": """
def slopes_by_hand(w, b, x, y):
    error = w * x + b - y
    return 2 * error.mean(), 2 * (error * x).mean()""",
        "wrong shape": """
def slopes_by_hand(w, b, x, y):
    error = w * x + b - y
    return 2 * error * x, 2 * error""",
        "changes its arguments": """
def slopes_by_hand(w, b, x, y):
    y -= w * x + b
    return -2 * (y * x).mean(), -2 * y.mean()""",
        "hard-coded": """
x, y = np.linspace(-1, 1, 40), np.zeros(40)
def slopes_by_hand(*given):
    return 2 * ((0.5 * x - 0.2 - y) * x).mean(), 2 * (0.5 * x - 0.2 - y).mean()""",
    },
    "4.2": {
        "not divided": """
def accumulated_step(x, y, batches, lr):
    w = nn.Parameter(np.zeros(2))
    opt = optim.SGD([w], lr=lr)
    for rows in np.split(np.arange(len(x)), batches):
        ((w[0] * x[rows] + w[1] - y[rows]) ** 2).mean().backward()
    opt.step()
    return w.detach().numpy()""",
        "divided by the points": """
def accumulated_step(x, y, batches, lr):
    w = nn.Parameter(np.zeros(2))
    opt = optim.SGD([w], lr=lr)
    for rows in np.split(np.arange(len(x)), batches):
        ((w[0] * x[rows] + w[1] - y[rows]) ** 2).mean().backward()
    opt.step(grad_scale=len(x))
    return w""",
        "divided by the size of a batch": """
def accumulated_step(x, y, batches, lr):
    w = nn.Parameter(np.zeros(2))
    opt = optim.SGD([w], lr=lr)
    for rows in np.split(np.arange(len(x)), batches):
        ((w[0] * x[rows] + w[1] - y[rows]) ** 2).mean().backward()
    opt.step(grad_scale=len(x) // batches)
    return w""",
        "a step for each batch": """
def accumulated_step(x, y, batches, lr):
    w = nn.Parameter(np.zeros(2))
    opt = optim.SGD([w], lr=lr)
    for rows in np.split(np.arange(len(x)), batches):
        opt.zero_grad()
        ((w[0] * x[rows] + w[1] - y[rows]) ** 2).mean().backward()
        opt.step()
    return w""",
        "only the last batch, divided": """
def accumulated_step(x, y, batches, lr):
    w = nn.Parameter(np.zeros(2))
    opt = optim.SGD([w], lr=lr)
    for rows in np.split(np.arange(len(x)), batches):
        opt.zero_grad()
        ((w[0] * x[rows] + w[1] - y[rows]) ** 2).mean().backward()
    opt.step(grad_scale=batches)
    return w""",
        "no step": """
def accumulated_step(x, y, batches, lr):
    return np.zeros(2)""",
        "raises": """
def accumulated_step(x, y, batches, lr):
    w = nn.Parameter(np.zeros(2))
    for rows in np.split(np.arange(40), batches):
        ((w[0] * x[rows] + w[1] - y[rows]) ** 2).mean().backward()
    optim.SGD([w], lr=lr).step(grad_scale=batches)
    return w""",
    },
    "5.1": {
        "velocity averaged": """
def update(p, g, state, lr, momentum):
    v = state["v"] = momentum * state.get("v", 0) + (1 - momentum) * g
    return p - lr * v""",
        "lr inside the velocity": """
def update(p, g, state, lr, momentum):
    v = state["v"] = momentum * state.get("v", 0) + lr * g
    return p - v""",
        "moments not kept": """
def update(p, g, state, lr, momentum):
    v = momentum * state.get("v", 0) + g
    return p - lr * v""",
        "flipped sign": """
def update(p, g, state, lr, momentum):
    v = state["v"] = momentum * state.get("v", 0) + g
    return p + lr * v""",
        "fails": """
def update(p, g, state, lr, momentum):
    state["v"] = momentum * state["v"] + g
    return p - lr * state["v"]""",
        "shared state": """
memory = {}
def update(p, g, state, lr, momentum):
    v = memory["v"] = momentum * memory.get("v", 0) + g
    return p - lr * v""",
        "other arguments": """
def update(p, g, state, lr):
    return p - lr * g""",
    },
    "5.2": {
        "the wrong way round": "same_lr = lambda lr, b: lr * (1 - b)\nfirst_step = lambda b: 1 - b",
        "unchanged": "same_lr = lambda lr, beta: lr\nfirst_step = lambda beta: 1 - beta",
        "lr missing": "same_lr = lambda lr, beta: 1 / (1 - beta)\nfirst_step = lambda beta: 1 - beta",
        "as long as a plain step": "same_lr = lambda lr, b: lr / (1 - b)\nfirst_step = lambda beta: 1",
        "the final length": "same_lr = lambda lr, b: lr / (1 - b)\nfirst_step = lambda b: 1 / (1 - b)",
        "weights swapped": "same_lr = lambda lr, b: lr / (1 - b)\nfirst_step = lambda b: b",
        "not a function": "same_lr = 0.1\nfirst_step = lambda b: 1 - b",
        "hard-coded": "same_lr = lambda lr, b: lr / (1 - b)\nfirst_step = lambda b: 0.123",
    },
    "5.3": {
        "the limit without momentum": "largest_lr = lambda c, beta: 2 / c",
        "smaller with momentum": "largest_lr = lambda c, beta: 2 * (1 - beta) / c",
        "c missing": "largest_lr = lambda c, beta: 2 * (1 + beta)",
        "beta 0.9 only": "largest_lr = lambda c, beta: 3.8 / c",
        "hard-coded": "largest_lr = lambda c, beta: 3.7",
        "inexact": "largest_lr = lambda c, beta: 3.75 / c * (1 + beta) / 1.9",
    },
}

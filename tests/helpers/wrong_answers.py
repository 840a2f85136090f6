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
        "y - x for x - y": """
@tg.primitive(x=lambda g, x, y, xp: g * xp.exp(y - x))
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
    "6.1": {
        "total decays": """
def adagrad(p, g, state, lr, eps):
    v = state["v"] = 0.9 * state.get("v", 0) + 0.1 * g**2
    return p - lr * g / (np.sqrt(v) + eps)""",
        "no root": """
def adagrad(p, g, state, lr, eps):
    v = state["v"] = state.get("v", 0) + g**2
    return p - lr * g / (v + eps)""",
        "g not squared": """
def adagrad(p, g, state, lr, eps):
    v = state["v"] = state.get("v", 0) + abs(g)
    return p - lr * g / (np.sqrt(v) + eps)""",
        "eps inside the root": """
def adagrad(p, g, state, lr, eps):
    v = state["v"] = state.get("v", 0) + g**2
    return p - lr * g / np.sqrt(v + eps)""",
        "moments not kept": """
def adagrad(p, g, state, lr, eps):
    v = state.get("v", 0) + g**2
    return p - lr * g / (np.sqrt(v) + eps)""",
        "raises": """
def adagrad(p, g, state, lr, eps):
    v = state["v"] = state.get("v", 0) + g**2
    return p - lr * g / (float(v) ** 0.5 + eps)""",
    },
    "6.2": {
        "eps inside the root": """
def rmsprop(p, g, state, lr, alpha, eps):
    v = state["v"] = alpha * state.get("v", 0) + (1 - alpha) * g**2
    return p - lr * g / np.sqrt(v + eps)""",
        "v sums": """
def rmsprop(p, g, state, lr, alpha, eps):
    v = state["v"] = state.get("v", 0) + g**2
    return p - lr * g / (np.sqrt(v) + eps)""",
        "v without 1 - beta": """
def rmsprop(p, g, state, lr, alpha, eps):
    v = state["v"] = alpha * state.get("v", 0) + g**2
    return p - lr * g / (np.sqrt(v) + eps)""",
        "v weights swapped": """
def rmsprop(p, g, state, lr, alpha, eps):
    v = state["v"] = (1 - alpha) * state.get("v", 0) + alpha * g**2
    return p - lr * g / (np.sqrt(v) + eps)""",
        "no eps": """
def rmsprop(p, g, state, lr, alpha, eps):
    v = state["v"] = alpha * state.get("v", 0) + (1 - alpha) * g**2
    return p - lr * g / np.sqrt(v)""",
        "other arguments": """
def rmsprop(p, g, lr, alpha, eps):
    return p""",
    },
    "6.3": {
        "flipped sign": "move = lambda g, lr: lr * np.sign(g)",
        "plain descent": "move = lambda g, lr: -lr * g",
        "no root": "move = lambda g, lr: -lr * g / (g**2 + 1e-30)",
        "always down": "move = lambda g, lr: -lr if g else 0",
        "lr missing": "move = lambda g, lr: -np.sign(g)",
        "the length": "move = lambda g, lr: lr * abs(np.sign(g))",
        "not finite": "move = lambda g, lr: -lr * g / np.sqrt(np.square(g))",
        "raises": "move = lambda g, lr: -lr * g / abs(g)",
    },
    "7.1": {
        "m not corrected": """
def update(p, g, state, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
    return p - lr * m / (np.sqrt(v) + eps)""",
        "no power of t": """
def update(p, g, state, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
    m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
    return p - lr * m / (1 - beta1) / (np.sqrt(v / (1 - beta2)) + eps)""",
        "t begins at 0": """
def update(p, g, state, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
    t = state.get("t", 0)
    m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
    state["t"] = t + 1
    return p - lr * m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps)""",
        "betas swapped": """
def update(p, g, state, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta2 * state.get("m", 0) + (1 - beta2) * g
    v = state["v"] = beta1 * state.get("v", 0) + (1 - beta1) * g**2
    return p - lr * m / (1 - beta2**t) / (np.sqrt(v / (1 - beta1**t)) + eps)""",
        "default": """
def update(p, g, state, lr=0.001, beta1=0.9, beta2=0.99, eps=1e-8):
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
    return p - lr * m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps)""",
    },
    "7.2": {
        "the very first step": "spike = lambda beta1, beta2: 1.0",
        "no root": "spike = lambda beta1, beta2: (1 - beta1) / (1 - beta2)",
        "upside down": "spike = lambda beta1, beta2: (1 - beta2) ** 0.5 / (1 - beta1)",
        "v as large as g**2": "spike = lambda beta1, beta2: 1 - beta1",
        "old weights": "spike = lambda beta1, beta2: beta1 / beta2**0.5",
        "hard-coded": "spike = lambda beta1, beta2: 3.16",
        "not a function": "spike = 3.16",
    },
    "7.3": {
        "v not squared": "factors = lambda s: (s, s, s**0.5)\nsame_eps = lambda eps, s: eps * s",
        "a step as in plain descent": "factors = lambda s: [s, s**2, s]\nsame_eps = lambda eps, s: eps * s",
        "no root": "factors = lambda s: (s, s**2, 1 / s)\nsame_eps = lambda eps, s: eps * s",
        "unchanged": "factors = lambda s: (s, s**2, 1)\nsame_eps = lambda eps, s: eps",
        "squared": "factors = lambda s: (s, s**2, 1)\nsame_eps = lambda eps, s: eps * s**2",
        "the wrong way round": "factors = lambda s: (s, s**2, 1)\nsame_eps = lambda eps, s: eps / s",
        "wrong shape": "factors = lambda s: s**2\nsame_eps = lambda eps, s: eps * s",
        "hard-coded": "factors = lambda s: (1000, 1e6, 1)\nsame_eps = lambda eps, s: eps * s",
    },
    "8.1": {
        "not leaky": """
@tg.primitive(x=lambda g, x, xp: g * (x > 0))
def leaky(xp, x):
    return xp.maximum(x, 0)""",
        "a hundredth": """
@tg.primitive(x=lambda g, x, xp: g * xp.where(x > 0, 1.0, 0.01))
def leaky(xp, x):
    return xp.where(x > 0, x, 0.01 * x)""",
        "branches swapped": """
@tg.primitive(x=lambda g, x, xp: g * xp.where(x < 0, 1.0, 0.1))
def leaky(xp, x):
    return xp.where(x < 0, x, 0.1 * x)""",
        "missing g": """
@tg.primitive(x=lambda x, xp: xp.where(x > 0, 1.0, 0.1))
def leaky(xp, x):
    return xp.where(x > 0, x, 0.1 * x)""",
        "the slope of ReLU": """
@tg.primitive(x=lambda g, x, xp: g * (x > 0))
def leaky(xp, x):
    return xp.where(x > 0, x, 0.1 * x)""",
        "by the sign of g": """
@tg.primitive(x=lambda g, xp: xp.where(g > 0, g, 0.1 * g))
def leaky(xp, x):
    return xp.where(x > 0, x, 0.1 * x)""",
        "superfluous factor": """
@tg.primitive(x=lambda g, x, xp: g * xp.where(x > 0, x, 0.1 * x))
def leaky(xp, x):
    return xp.where(x > 0, x, 0.1 * x)""",
        "changes its arguments": """
@tg.primitive(x=lambda g, x, xp: g * xp.where(x > 0, 1.0, 0.1))
def leaky(xp, x):
    x[x < 0] *= 0.1
    return x""",
    },
    "8.2": {
        "h for 2 h": """
row_sum = 0
def numerical_gradient(f, x, h=1e-6):
    result = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = h
        result[i] = (f(x + step) - f(x - step)) / h
    return result""",
        "one side only": """
row_sum = 0
def numerical_gradient(f, x, h=1e-5):
    result = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = h
        result[i] = (f(x + step) - f(x)) / h
    return result""",
        "all entries at once": """
row_sum = 0
def numerical_gradient(f, x, h=1e-6):
    return np.full(x.shape, (f(x + h) - f(x - h)) / (2 * h))""",
        "wrong shape": """
row_sum = 0
def numerical_gradient(f, x, h=1e-6):
    return (f(x + h) - f(x - h)) / (2 * h)""",
        "changes its arguments": """
row_sum = 0
def numerical_gradient(f, x, h=1e-6):
    result = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        x[i] += h
        up = f(x)
        x[i] -= 2 * h
        result[i] = (up - f(x)) / (2 * h)
    return result""",
        "the sum of probabilities": """
row_sum = 1
def numerical_gradient(f, x, h=1e-6):
    steps = h * np.eye(x.size).reshape(-1, *x.shape)
    return np.array([(f(x + s) - f(x - s)) / (2 * h) for s in steps]).reshape(x.shape)""",
        "inexact": """
row_sum = 0
def numerical_gradient(f, x, h=0.2):
    steps = h * np.eye(x.size).reshape(-1, *x.shape)
    return np.array([(f(x + s) - f(x - s)) / (2 * h) for s in steps]).reshape(x.shape)""",
    },
    "8.3": {
        "the squares": "shrink_factor = 1 / 2\nlinear_std = lambda fan_in: fan_in**-0.5",
        "growing": "shrink_factor = 2**0.5\nlinear_std = lambda fan_in: fan_in**-0.5",
        "as for ReLU": "shrink_factor = 0.71\nlinear_std = lambda fan_in: (2 / fan_in) ** 0.5",
        "the variance": "shrink_factor = 0.71\nlinear_std = lambda fan_in: 1 / fan_in",
        "upside down": "shrink_factor = 0.71\nlinear_std = lambda fan_in: fan_in**0.5",
        "hard-coded": "shrink_factor = 0.71\nlinear_std = lambda fan_in: 0.07",
        "not a number": "shrink_factor = 'sqrt(0.5)'\nlinear_std = lambda fan_in: fan_in**-0.5",
    },
    "9.1": {
        "decay in the gradient": """
def update(p, g, state, lr, beta1, beta2, eps, weight_decay):
    g = g + weight_decay * p
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
    return p - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)""",
        "no decay": """
def update(p, g, state, lr, beta1, beta2, eps, weight_decay):
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
    return p - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)""",
        "decay without lr": """
def update(p, g, state, lr, beta1, beta2, eps, weight_decay):
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
    p = p - weight_decay * p
    return p - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)""",
        "decay grows": """
def update(p, g, state, lr, beta1, beta2, eps, weight_decay):
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
    p = p + lr * weight_decay * p
    return p - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)""",
        "decay after the step": """
def update(p, g, state, lr, beta1, beta2, eps, weight_decay):
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
    p = p - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
    return p - lr * weight_decay * p""",
        "m not corrected": """
def update(p, g, state, lr, beta1, beta2, eps, weight_decay):
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
    p = p - lr * weight_decay * p
    return p - lr * m / (np.sqrt(v / (1 - beta2**t)) + eps)""",
        "eps inside the root": """
def update(p, g, state, lr, beta1, beta2, eps, weight_decay):
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
    p = p - lr * weight_decay * p
    return p - lr * (m / (1 - beta1**t)) / np.sqrt(v / (1 - beta2**t) + eps)""",
        "other arguments": """
def update(p, g, state, lr, betas, eps):
    return p""",
    },
    "9.2": {
        "degrees": "cosine = lambda t, T: (1 + np.cos(180 * t / T)) / 2",
        "T - 1": "cosine = lambda t, T: (1 + np.cos(np.pi * t / (T - 1))) / 2",
        "half missing": "cosine = lambda t, T: 1 + np.cos(np.pi * t / T)",
        "not lifted": "cosine = lambda t, T: np.cos(np.pi * t / T)",
        "a whole wave": "cosine = lambda t, T: (1 + np.cos(2 * np.pi * t / T)) / 2",
        "rising": "cosine = lambda t, T: (1 - np.cos(np.pi * t / T)) / 2",
        "linear": "cosine = lambda t, T: 1 - t / T",
        "prints": "def cosine(t, T):\n    print((1 + np.cos(np.pi * t / T)) / 2)",
        "other arguments": "cosine = lambda t: (1 + np.cos(np.pi * t / 10)) / 2",
    },
    "9.3": {
        "the epoch of the end": """
def stop_after(losses, patience):
    best, waited = 0, 0
    for epoch, loss in enumerate(losses):
        best, waited = (epoch, 0) if loss < losses[best] or epoch == 0 else (best, waited + 1)
        if waited == patience:
            break
    return epoch""",
        "the lowest of all": "def stop_after(losses, patience):\n    return np.argmin(losses)",
        "compared with the epoch before": """
def stop_after(losses, patience):
    best, waited = 0, 0
    for epoch, loss in enumerate(losses):
        best, waited = (epoch, 0) if epoch == 0 or loss < losses[epoch - 1] else (best, waited + 1)
        if waited == patience:
            break
    return best""",
        "never counts anew": """
def stop_after(losses, patience):
    best, waited = 0, 0
    for epoch, loss in enumerate(losses):
        best, waited = (epoch, waited) if loss < losses[best] or epoch == 0 else (best, waited + 1)
        if waited == patience:
            break
    return best""",
        "an epoch too patient": """
def stop_after(losses, patience):
    best, waited = 0, 0
    for epoch, loss in enumerate(losses):
        best, waited = (epoch, 0) if loss < losses[best] or epoch == 0 else (best, waited + 1)
        if waited > patience:
            break
    return best""",
        "counted from 1": """
def stop_after(losses, patience):
    best, waited = 0, 0
    for epoch, loss in enumerate(losses):
        best, waited = (epoch, 0) if loss < losses[best] or epoch == 0 else (best, waited + 1)
        if waited == patience:
            break
    return best + 1""",
        "the loss": """
def stop_after(losses, patience):
    best, waited = 0, 0
    for epoch, loss in enumerate(losses):
        best, waited = (epoch, 0) if loss < losses[best] or epoch == 0 else (best, waited + 1)
        if waited == patience:
            break
    return losses[best]""",
        "returns nothing": """
def stop_after(losses, patience):
    for epoch in range(len(losses) - patience):
        if min(losses[epoch + 1 : epoch + 1 + patience]) >= losses[epoch]:
            return epoch""",
        "hard-coded": "def stop_after(losses, patience):\n    return 4",
        "changes its arguments": """
def stop_after(losses, patience):
    while len(losses) > patience and losses[-1] > min(losses):
        losses.pop()
    return len(losses) - 1""",
    },
    "10.1": {
        "maximum": """
@tg.primitive(x=lambda g, xp, x_shape: xp.kron(g, xp.full((1, 2, 2), 0.25)).reshape(x_shape))
def average_pool(xp, x):
    n, height, width = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2).max(axis=(2, 4))""",
        "sum": """
@tg.primitive(x=lambda g, xp, x_shape: xp.kron(g, xp.full((1, 2, 2), 1.0)).reshape(x_shape))
def average_pool(xp, x):
    n, height, width = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2).sum(axis=(2, 4))""",
        "constant factor": """
@tg.primitive(x=lambda g, xp, x_shape: xp.kron(g, xp.full((1, 2, 2), 1.0)).reshape(x_shape))
def average_pool(xp, x):
    n, height, width = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2).mean(axis=(2, 4))""",
        "blocks mixed up": """
@tg.primitive(x=lambda g, xp, x_shape: xp.kron(g, xp.full((1, 2, 2), 0.25)).reshape(x_shape))
def average_pool(xp, x):
    n, height, width = x.shape
    return x.reshape(n, height // 2, width // 2, 4).mean(axis=3)""",
        "wrong order": """
@tg.primitive(x=lambda g, xp, x_shape: xp.tile(g, (1, 2, 2)) / 4)
def average_pool(xp, x):
    n, height, width = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2).mean(axis=(2, 4))""",
        "wrong shape": """
@tg.primitive(x=lambda g: g / 4)
def average_pool(xp, x):
    n, height, width = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2).mean(axis=(2, 4))""",
        "a quarter to one pixel": """
@tg.primitive(x=lambda g, xp, x_shape: xp.kron(g, xp.array([[[0.25, 0], [0, 0]]])).reshape(x_shape))
def average_pool(xp, x):
    n, height, width = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2).mean(axis=(2, 4))""",
    },
    "10.2": {
        "no biases": "conv_weights = 16 * 9\nlinear_weights = 64 * 16 * 36 + 16 * 36",
        "one kernel": "conv_weights = 9 + 1\nlinear_weights = 64 * 16 * 36 + 16 * 36",
        "3 for 3 by 3": "conv_weights = 16 * 3 + 16\nlinear_weights = 64 * 16 * 36 + 16 * 36",
        "an output for each kernel": "conv_weights = 160\nlinear_weights = 64 * 16 + 16",
        "padded": "conv_weights = 160\nlinear_weights = 64 * 16 * 64 + 16 * 64",
        "not a number": "conv_weights = '160'\nlinear_weights = 37440",
        "differs": "conv_weights = 160\nlinear_weights = 12345",
    },
    "10.3": {
        "edges compared": """
def moves_along(layer, picture):
    shifted = layer(np.roll(picture, 1, axis=0))
    return np.allclose(shifted, np.roll(layer(picture), 1, axis=0))""",
        "the output not shifted": """
def moves_along(layer, picture):
    return np.allclose(layer(np.roll(picture, 1, axis=1)), layer(picture))""",
        "always true": """
def moves_along(layer, picture):
    shifted = np.roll(picture, 1, axis=1)
    return np.allclose(layer(picture)[:, 1:], layer(picture)[:, 1:])""",
        "the wrong way round": """
def moves_along(layer, picture):
    shifted = np.roll(picture, 1, axis=1)
    return not np.allclose(layer(shifted)[:, 1:], layer(picture)[:, :-1])""",
        "wrong shape": """
def moves_along(layer, picture):
    shifted = np.roll(picture, 1, axis=1)
    return np.isclose(layer(shifted)[:, 1:], layer(picture)[:, :-1])""",
        "changes its arguments": """
def moves_along(layer, picture):
    before = layer(picture)[:, :-1]
    picture[:] = np.roll(picture, 1, axis=1)
    return np.allclose(layer(picture)[:, 1:], before)""",
    },
}

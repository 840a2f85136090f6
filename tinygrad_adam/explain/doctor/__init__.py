"""The doctor: it watches training steps and reports faults, each with its place and its remedy.

Read `doctor`, `check` and `finding` first; each other file is a family of checks:

- the calls of a step: `procedure`, `evaluation`, `renewed`, `history`, `memory`;
- the loss: `losses`, `outputs`, `reach`, `distributions`, `signs`, `sums`, `broadcasting`;
- the data: `scales`, `order`, `relations`, `leak`, `rows`, `majority`;
- the network: `parameters`, `registration`, `units`, `twins`, `affine`, `dropout`, `normalizers`,
  `batch_axis`;
- the numbers over time: `nonfinite`, `gradients`, `updates`, `decay`, `schedules`, `curves`.

`chart` holds what they share; `answers` finds the predictions under a loss, and `examples` the example that
each element belongs to.
"""

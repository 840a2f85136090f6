"""The doctor: it watches training steps and reports faults, each with its place and its remedy.

Read `doctor`, `check` and `finding` first; each other file is a family of checks:

- the calls of a step: `procedure`, `evaluation`, `renewed_optimizer`, `kept_graphs`, `memory`;
- the loss: `losses`, `last_operation`, `target_range`, `several_labels`, `signs`, `summed_loss`,
  `broadcasting`;
- the data: `scales`, `sorted_data`, `unrelated_labels`, `leak`, `rows`, `majority`;
- the network: `parameters`, `registration`, `units`, `twins`, `affine`, `dropout`, `normalizers`,
  `batch_axis`;
- the numbers over time: `nonfinite`, `gradients`, `updates`, `decay`, `schedules`, `curves`.

The checks share `chart`; `answers` finds the predictions under a loss, `grad_passes` the loss behind
a `tg.grad`, and `examples` the example that each element belongs to.
"""

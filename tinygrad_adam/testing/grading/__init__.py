"""A grader of exercises."""

"""Learn which words the provider puts around every text. A pure value.

Some accounts have a prefix or a suffix that the provider adds to each message, and the report shows the text with it.
The control rows show both our text and the report's, so they show these words. A form is used only if it explains
every control row whose text differs, if at least `_LEAST_EXAMPLES` do, and if none shows its text unchanged.
"""

from worker.reports.matching import UNCHANGED_FORM, TextForm, possible_forms

_LEAST_EXAMPLES = 3
"""Two texts agree by chance too easily."""


class FormLearner:
    """What the texts of the control rows that were read so far have in common."""

    def __init__(self) -> None:
        self._candidates: list[TextForm] | None = None
        self._examples = 0
        self._unchanged = False

    def add_unchanged(self) -> None:
        """Take in a control row that shows its text exactly as we sent it."""
        self._unchanged = True

    def add_changed(self, ours: str, theirs: str) -> None:
        """Take in a control row that shows our text in another form."""
        if self._candidates is None:
            self._candidates = possible_forms(ours, theirs)
        else:
            self._candidates = [form for form in self._candidates if form.fits(ours, theirs)]
        self._examples += 1

    @property
    def form(self) -> TextForm:
        """The form that unknown attempts have in this report, as far as the control rows prove one."""
        if self._candidates and self._examples >= _LEAST_EXAMPLES and not self._unchanged:
            return self._candidates[0]
        return UNCHANGED_FORM

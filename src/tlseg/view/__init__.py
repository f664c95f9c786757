"""Windows onto a result: the viewers that can show its pixels."""

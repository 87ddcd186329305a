"""Private names of other libraries: each is used here alone, with the reason, and has a test.

A library may change what it does not document, in any release. Where it does, one of these modules
changes, and `tests/compat` says which name. A name is here only if no public one does the same. So
is what a library has to be told before it is imported.
"""

"""The paper's tables and figures, its numbers beside ours: `radenhance reproduce`.

study -> running -> logs, plans -> results, comparison -> tables, claims, pictures -> report
"""

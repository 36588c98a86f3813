"""The paper's claims about accuracy, checked on real data: runs, statistics, figures, one page."""

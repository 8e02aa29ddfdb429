"""What a Cross-LSTM is compared with: the usual networks of the same size, and floors that any network must beat.

``table.py`` has a row for each. All of them see the same windows as the Cross-LSTM.
"""

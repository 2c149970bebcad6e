"""The whole product on one computer: the four real processes on a recorded room. Not installed on the appliance."""

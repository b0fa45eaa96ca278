"""How a call is carried out."""
